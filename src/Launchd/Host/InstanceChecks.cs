using Launchd.Core;
using Launchd.Model;

namespace Launchd.Host;

/// <summary>
/// Asks instances whether they serve: until they are ready, and then from time to time. For each instance at most one question is under way,
/// and each has its limit.
/// </summary>
internal sealed class InstanceChecks(SupervisorHost host, HostParts parts, InstanceTable instances)
{
    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(20);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(1);

    /// <summary>For one attempt of a readiness probe, whose limit as a whole is <c>ready_timeout</c>: who accepts and says nothing is asked anew.</summary>
    private static readonly TimeSpan ReadyAttempt = TimeSpan.FromSeconds(5);

    /// <summary>Repeats the readiness probe until it succeeds.</summary>
    public void StartProbe(InstanceId id)
    {
        if (host.Instances.Find(id) is not { Definition.Ready: Readiness.Probed probed } instance)
            return;
        TimeSpan pause = FirstPause;
        Probe probe = null!;
        probe = new Probe(parts, probed.Target, ReadyAttempt, Starter(instance), answer =>
        {
            if (answer.IsGood)
                host.Events.Feed(new Event.ReadinessMet(id));
            else
                Again();
        });
        instance.Probe = probe;
        probe.Begin();

        void Again()
        {
            parts.Delays.After(pause, instance, () =>
            {
                // A command that was killed because it took too long, and has not ended yet.
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
        if (host.Instances.Find(id) is not { } instance)
            return;
        parts.Delays.Cancel(instance);
        instance.Probe?.Dispose();
        instance.Probe = null;
    }

    public void StartHealth(InstanceId id)
    {
        if (host.Instances.Find(id) is not { Definition.Health: { } check } instance)
            return;
        instance.Health?.Dispose();
        instance.Health = new HealthMonitor(host, parts, instance, check, Starter(instance));
    }

    public void EndHealth(InstanceId id)
    {
        if (host.Instances.Find(id) is not { } instance)
            return;
        instance.Health?.Dispose();
        instance.Health = null;
    }

    private StartProbeCommand Starter(RunningInstance instance) =>
        (arguments, ended, failed, out refused) => instances.StartBeside(instance, arguments, ended, failed, out refused);
}
