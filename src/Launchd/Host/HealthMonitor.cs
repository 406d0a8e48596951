using Launchd.Core;
using Launchd.Linux;
using Launchd.Model;

namespace Launchd.Host;

/// <summary>
/// Repeats the health check of one ready instance, and tells the core when it has failed as often in a row as the definition allows. The
/// first question comes one interval after the instance was ready; the next one interval after that began, or, when it took longer, when
/// it has ended: two never overlap.
/// </summary>
internal sealed class HealthMonitor : IDisposable
{
    private readonly SupervisorHost _host;
    private readonly HostParts _parts;
    private readonly RunningInstance _instance;
    private readonly HealthCheck _check;
    private readonly Probe _probe;
    private long _begunAt;
    private int _failures;

    public HealthMonitor(SupervisorHost host, HostParts parts, RunningInstance instance, HealthCheck check, StartProbeCommand start)
    {
        _host = host;
        _parts = parts;
        _instance = instance;
        _check = check;
        _probe = new Probe(parts, check.Target, check.Timeout, start, Answered);
        parts.Delays.After(check.Interval, this, Ask);
    }

    public void Dispose()
    {
        _parts.Delays.Cancel(this);
        _probe.Dispose();
    }

    private void Ask()
    {
        _begunAt = Clock.MonotonicNanoseconds;
        if (_probe.IsBusy)
            Answered(new ProbeAnswer(false, "the command of the check before does not end on SIGKILL"));
        else
            _probe.Begin();
    }

    private void Answered(ProbeAnswer answer)
    {
        if (answer.IsGood)
        {
            if (_failures > 0)
                SupervisorLog.HealthBack(_parts.Logger, _instance.Label);
            _failures = 0;
        }
        else
        {
            _failures++;
            _host.Counters.Count("health-checks-failed");
            SupervisorLog.HealthMissed(_parts.Logger, _instance.Label, _failures, _check.FailureCount, answer.Text);
        }
        if (_failures >= _check.FailureCount)
        {
            string times = _failures == 1 ? "" : $"{_failures} times in a row, last ";
            _host.Events.Feed(new Event.HealthFailed(_instance.Id, times + answer.Text));
            return;
        }
        TimeSpan taken = TimeSpan.FromTicks((Clock.MonotonicNanoseconds - _begunAt) / TimeSpan.NanosecondsPerTick);
        _parts.Delays.After(_check.Interval - taken, this, Ask);
    }
}
