using Launchd.Core;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>How long things may take at most, from the configuration alone.</summary>
internal static class Bounds
{
    /// <summary>From calm until everything rests: every old instance may use all its times, one service after the other.</summary>
    public static TimeSpan Rest(SupervisorDefinition[] all)
    {
        TimeSpan bound = TimeSpan.FromMinutes(3); // a clock jump, extensions, what old programs still say and do
        foreach (ServiceDefinition service in all.SelectMany(d => d.Services))
        {
            // A rollout exchanges one slot after the other at worst, and back again.
            TimeSpan exchange = service.ReadyTimeout + service.Rollout.Prove + Stop(service);
            exchange += service.Files.IsEmpty ? TimeSpan.Zero : Limits.ConnectPatience;
            bound += (8 * exchange) + (2 * service.Backoff.Max) + service.StartLimit.Interval + TimeSpan.FromSeconds(10)
                + (3 * (service.IdleTimeout ?? TimeSpan.Zero));
        }
        return bound;
    }

    public static TimeSpan End(SupervisorDefinition[] all)
    {
        TimeSpan bound = TimeSpan.FromSeconds(1);
        foreach (ServiceDefinition service in all.SelectMany(d => d.Services))
            bound += Stop(service);
        TimeSpan longest = all.Max(d => d.ShutdownTimeout);
        TimeSpan capped = longest + Limits.KillGrace + TimeSpan.FromSeconds(1);
        return all.All(d => d.ShutdownTimeout > TimeSpan.Zero) && capped < bound ? capped : bound;
    }

    /// <summary>Stop command, stop signal, kill; each of the first two may be extended by 7 s a few times.</summary>
    private static TimeSpan Stop(ServiceDefinition service) => (2 * service.Stop.Timeout) + Limits.KillGrace + TimeSpan.FromSeconds(42);
}
