using System.Text;
using Launchd.Config;
using Launchd.Core;
using Launchd.Model;

namespace Launchd.Host;

/// <summary>The boot: ends when every service has come up, tells the operator how it went, and gives back the memory that only it needed.</summary>
internal sealed class BootReport : IDisposable
{
    private const long MostBootBytes = 3 << 20;
    private const long MemoryPerStart = 12 << 10;

    private readonly SupervisorHost _host;
    private readonly CollectorPause _pause = new();
    private int _upCount;

    public BootReport(SupervisorHost host)
    {
        _host = host;
        _pause.Expect(host.Core.Services.Sum(s => s.Definition.Start == StartKind.Boot ? s.Definition.InstanceCount * MemoryPerStart : 0));
    }

    /// <summary>Whether every service that is wanted has been ready, listens, has done its work, or has failed.</summary>
    public bool IsOver()
    {
        IReadOnlyList<ServiceState> services = _host.Core.Services;
        // Those before have come up; a reload meanwhile may have taken some away.
        for (_upCount = Math.Min(_upCount, services.Count); _upCount < services.Count; _upCount++)
        {
            ServiceState service = services[_upCount];
            bool isUnderWay = service.PublicState is PublicState.Starting or PublicState.Waiting or PublicState.BackingOff or PublicState.Draining;
            if (service.IsWanted && isUnderWay && !service.IsWatching)
                return false;
        }
        return true;
    }

    public void Dispose() => _pause.Dispose();

    public void Write()
    {
        SupervisorHost host = _host;
        _pause.Dispose();
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
