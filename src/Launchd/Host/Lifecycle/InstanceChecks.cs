using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Linux.Loop;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Lifecycle;

/// <summary>
/// Asks instances whether they serve: until they are ready, and then at intervals. For each instance at most one
/// question is under way, and each has a time limit.
/// </summary>
internal sealed class InstanceChecks(
    RunningInstances instances, InstanceCommands commands, EventLoop loop, Delays delays, PathConnects connects, EventFeed events,
    Counters counters, ILogger logger)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(1);

    /// <summary>
    /// The limit of one attempt of a readiness probe, so that a server that accepts but does not answer is asked anew.
    /// <c>ready_timeout</c> limits the probe as a whole.
    /// </summary>
    private static readonly TimeSpan ReadyAttempt = TimeSpan.FromSeconds(5);

    /// <summary>Repeats the readiness probe until it succeeds.</summary>
    public void StartProbe(InstanceId id)
    {
        if (instances.Find(id) is not { Definition.Ready: Readiness.Probed probed } instance)
            return;
        TimeSpan pause = FirstPause;
        Probe probe = null!;
        probe = MakeProbe(instance, probed.Target, ReadyAttempt, answer =>
        {
            if (answer.IsGood)
                events.Feed(new Event.ReadinessMet(id));
            else
                Again();
        });
        instance.Probe = probe;
        probe.Begin();

        void Again()
        {
            delays.After(pause, instance, () =>
            {
                // Busy: a command was killed because it took too long, and has not ended yet.
                if (probe.IsBusy)
                    Again();
                else
                    probe.Begin();
            });
            pause = pause * 2 < LongestPause ? pause * 2 : LongestPause;
        }
    }

    public void EndProbe(InstanceId id)
    {
        if (instances.Find(id) is not { } instance)
            return;
        delays.Cancel(instance);
        instance.Probe?.Dispose();
        instance.Probe = null;
    }

    public void StartHealth(InstanceId id)
    {
        if (instances.Find(id) is not { Definition.Health: { } check } instance)
            return;
        instance.Health?.Dispose();
        instance.Health = new HealthMonitor(delays, events, counters, logger, instance, check,
            answered => MakeProbe(instance, check.Target, check.Timeout, answered));
    }

    public void EndHealth(InstanceId id)
    {
        if (instances.Find(id) is not { } instance)
            return;
        instance.Health?.Dispose();
        instance.Health = null;
    }

    private Probe MakeProbe(RunningInstance instance, ProbeTarget target, TimeSpan limit, Action<ProbeAnswer> answered) =>
        new(loop, delays, connects, target, limit,
            (arguments, ended, failed, out refused) => commands.StartBeside(instance, arguments, ended, failed, out refused), answered);
}
