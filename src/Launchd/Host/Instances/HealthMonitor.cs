using Launchd.Core;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Linux.Loop;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Instances;

/// <summary>
/// Repeats the health check of one ready instance, and tells the core when it has failed as often in a row as the definition allows.
/// The first check begins one interval after the instance was ready; each next one an interval after the check before began or, when
/// that took longer, when it has ended: two never overlap.
/// </summary>
internal sealed class HealthMonitor : IDisposable
{
    private readonly Delays _delays;
    private readonly EventFeed _events;
    private readonly Counters _counters;
    private readonly ILogger _logger;
    private readonly RunningInstance _instance;
    private readonly HealthCheck _check;
    private readonly Probe _probe;
    private long _begunAt;
    private int _failures;

    /// <param name="delays">Of the loop.</param>
    /// <param name="events">Told when the instance has failed.</param>
    /// <param name="counters">Of the supervisor.</param>
    /// <param name="logger">Of the supervisor.</param>
    /// <param name="instance">An instance that is ready.</param>
    /// <param name="check">Of its definition.</param>
    /// <param name="makeProbe">Makes the probe, which calls its argument with each answer.</param>
    public HealthMonitor(Delays delays, EventFeed events, Counters counters, ILogger logger, RunningInstance instance, HealthCheck check,
        Func<Action<ProbeAnswer>, Probe> makeProbe)
    {
        _delays = delays;
        _events = events;
        _counters = counters;
        _logger = logger;
        _instance = instance;
        _check = check;
        _probe = makeProbe(Answered);
        delays.After(check.Interval, this, Ask);
    }

    public void Dispose()
    {
        _delays.Cancel(this);
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
                SupervisorLog.HealthBack(_logger, _instance.Label);
            _failures = 0;
        }
        else
        {
            _failures++;
            _counters.Count("health-checks-failed");
            SupervisorLog.HealthMissed(_logger, _instance.Label, _failures, _check.FailureCount, answer.Text);
        }
        if (_failures >= _check.FailureCount)
        {
            string times = _failures == 1 ? "" : $"{_failures} times in a row, last ";
            _events.Feed(new Event.HealthFailed(_instance.Id, times + answer.Text));
            return;
        }
        TimeSpan taken = TimeSpan.FromTicks((Clock.MonotonicNanoseconds - _begunAt) / TimeSpan.NanosecondsPerTick);
        _delays.After(_check.Interval - taken, this, Ask);
    }
}
