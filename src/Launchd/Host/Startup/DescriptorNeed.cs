using Launchd.Host.Provisioning;
using Launchd.Model;

namespace Launchd.Host.Startup;

/// <summary>How many descriptors a supervisor needs for all that its configuration has, against how many it may have.</summary>
internal static class DescriptorNeed
{
    /// <summary>
    /// Of the supervisor itself: loop, logs, control socket, births, and some for operators. Under a limit of 1024, where it keeps fewer
    /// for births than elsewhere, 229 instances of four descriptors each came up, which leaves 108.
    /// </summary>
    private const int Own = 108;

    /// <summary>
    /// An instance takes its pidfd and its channel, mostly a notify socket, and a pipe for its output or both ends of a terminal.
    /// </summary>
    private static int OfInstance(ServiceDefinition service) =>
        2 + (service.NotifyAccess == NotifyAccess.None ? 0 : 1)
        + (service.Output is OutputTarget.Log || service.Error is OutputTarget.Log ? 1 : 0)
        + (service.HasTerminal ? 1 : 0);

    /// <summary>
    /// With all instances running; of services that are started for each connection none, because those rest when there is no room.
    /// </summary>
    public static long Of(SupervisorDefinition definition)
    {
        long need = Own + definition.Files.Length;
        foreach (ListenerDefinition listener in definition.Listeners)
            need += listener.Addresses.Length * (long)Math.Max(1, listener.ShardCount);
        foreach (ServiceDefinition service in definition.Services)
        {
            if (service.Start != StartKind.Connection)
                need += service.InstanceCount * (long)OfInstance(service);
        }
        return need;
    }

    /// <summary>A sentence if that is more than the hard limit of open files of this process; else null.</summary>
    public static string? WarningFor(SupervisorDefinition definition) =>
        WarningFor(definition, OwnLimit.Of(ResourceKind.Nofile).Hard);

    /// <summary>The same for a given limit.</summary>
    public static string? WarningFor(SupervisorDefinition definition, ulong hardLimit)
    {
        long need = Of(definition);
        if (need <= 0 || (ulong)need <= hardLimit)
            return null;
        ulong enough = 1024;
        while (enough < (ulong)need)
            enough *= 2;
        string all = definition.Services.IsEmpty ? "its sockets and files" : $"all {definition.Services.Length} services together";
        return $"{all} need about {need} descriptors, and the supervisor's hard limit of open "
            + $"files is {hardLimit}: some will not start; raise it, to {enough} (ulimit -Hn, prlimit --nofile, LimitNOFILE=)";
    }
}
