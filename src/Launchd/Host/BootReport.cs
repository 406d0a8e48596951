using System.Text;
using Launchd.Core;
using Launchd.Model;

namespace Launchd.Host;

/// <summary>The end of the boot: tells the operator how it went, and gives back the memory that only the boot needed.</summary>
internal static class BootReport
{
    private const long MostBootBytes = 3 << 20;

    /// <summary>Whether every service that is wanted is ready, listens, has done its work, or has failed.</summary>
    public static bool IsOver(Supervisor core)
    {
        foreach (ServiceState service in core.Services)
        {
            bool isUnderWay = service.PublicState is PublicState.Starting or PublicState.Waiting or PublicState.BackingOff or PublicState.Draining;
            if (service.IsWanted && isUnderWay && !service.IsWatching)
                return false;
        }
        return true;
    }

    public static void Write(SupervisorHost host)
    {
        // Syntax trees, texts and tables of a large configuration: several times what stays. A small one is not worth the collector's own pages.
        if (GC.GetTotalAllocatedBytes() > MostBootBytes)
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        SupervisorDefinition definition = host.Definition;
        if (definition.LogFormat != LogFormat.Pretty || definition.LogLevel > LogSeverity.Information)
            return;
        string after = Spans.Show(SupervisorHost.Now - host.Parts.StartedAt);
        string[] failed = [.. host.Core.Services.Where(s => s.PublicState is PublicState.Failed or PublicState.Faulted).Select(s => s.Definition.Name.Text)];
        string text = failed.Length == 0 ? $"ready in {after}\n" : $"up after {after}, but not: {string.Join(", ", failed)}\n";
        host.Parts.Pump.Print(Encoding.UTF8.GetBytes(text));
    }
}
