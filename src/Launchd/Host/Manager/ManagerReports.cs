using System.Globalization;
using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Host.Loop;
using Launchd.Linux.Loop;
using Launchd.Linux.Processes;

namespace Launchd.Host.Manager;

/// <summary>
/// What the service manager is told of the supervisor, as of any service of type <c>notify-reload</c>: that it is up, reloads and stops,
/// how its services are, and that its loop runs. For the loop's thread.
/// </summary>
internal sealed class ManagerReports : IDisposable
{
    /// <summary>The status is told so long after the first of several changes.</summary>
    private static readonly TimeSpan StatusPause = TimeSpan.FromMilliseconds(250);

    /// <summary>Beyond the limit for the whole shutdown, for what comes after the last service.</summary>
    private static readonly TimeSpan EndTime = TimeSpan.FromSeconds(5);

    /// <summary>A manager that asks for more would have the loop do nothing else.</summary>
    private static readonly TimeSpan LeastWatchdogPause = TimeSpan.FromMilliseconds(1);

    /// <summary>Names in a status, which is one line of <c>systemctl status</c>.</summary>
    private const int MostNames = 5;

    private readonly ManagerLink _link;
    private readonly Supervisor _core;
    private readonly Delays _delays;
    private readonly TimeSpan? _watchdogPause;
    private readonly object _watchdog = new();
    private string _status = "";
    private bool _isUp, _isAwaited;

    /// <param name="link">Disposed with this object.</param>
    /// <param name="offer">What the manager offers.</param>
    /// <param name="core">Whose services.</param>
    /// <param name="delays">The loop's pauses.</param>
    public ManagerReports(ManagerLink link, ManagerOffer offer, Supervisor core, Delays delays)
    {
        (_link, _core, _delays) = (link, core, delays);
        // sd_watchdog_enabled(3) recommends half of the time.
        if (offer.WatchdogPeriod is { } period)
            _watchdogPause = TimeSpan.FromTicks(Math.Max(period.Ticks / 2, LeastWatchdogPause.Ticks));
        ShowLife();
    }

    /// <summary>Every service has come up, or has failed at least once.</summary>
    public void NoteUp()
    {
        // With a shutdown everything is over as well.
        if (_core.Frame.Shutdown is not null)
            return;
        _isUp = true;
        Send("READY=1");
    }

    /// <summary>A reload begins. The manager counts it as the answer to its SIGHUP if the time is later than that of the signal.</summary>
    public void NoteReload() =>
        _link.Send(string.Create(CultureInfo.InvariantCulture, $"RELOADING=1\nMONOTONIC_USEC={Clock.MonotonicNanoseconds / 1000}"));

    /// <summary>The reload is over.</summary>
    /// <param name="refusal">Why nothing was changed; null: the new configuration holds.</param>
    public void NoteReloaded(string? refusal)
    {
        // Before all is up it is not to be called ready, and a reload ends with the boot.
        if (_isUp && _core.Frame.Shutdown is null)
            Send("READY=1");
        if (refusal is not null)
            _link.Send("STATUS=not reloaded: " + OneLine(refusal));
    }

    /// <summary>Something has happened that the status may tell.</summary>
    public void Note(Notice notice)
    {
        if (notice is Notice.Shutdown)
        {
            TimeSpan most = _core.Frame.ShutdownTimeout;
            long microseconds = (most + EndTime).Ticks / TimeSpan.TicksPerMicrosecond;
            _link.Send(most <= TimeSpan.Zero ? "STOPPING=1"
                : string.Create(CultureInfo.InvariantCulture, $"STOPPING=1\nEXTEND_TIMEOUT_USEC={microseconds}"));
        }
        if (_isAwaited || notice is Notice.Notified)
            return;
        _isAwaited = true;
        _delays.After(StatusPause, this, () =>
        {
            _isAwaited = false;
            string before = _status;
            _status = StatusOf(_core);
            if (_status != before)
                _link.Send("STATUS=" + _status);
        });
    }

    public void Dispose()
    {
        _delays.Cancel(this);
        _delays.Cancel(_watchdog);
        _link.Dispose();
    }

    private void Send(string state)
    {
        _status = StatusOf(_core);
        _link.Send($"{state}\nSTATUS={_status}");
    }

    // By the loop: one that hangs gives no sign.
    private void ShowLife()
    {
        if (_watchdogPause is not { } pause)
            return;
        _link.Send("WATCHDOG=1");
        _delays.After(pause, _watchdog, ShowLife);
    }

    /// <summary>How the services are, in one line.</summary>
    public static string StatusOf(Supervisor core)
    {
        int count = 0, upCount = 0, liveCount = 0;
        List<string> failed = [];
        foreach (ServiceState service in core.Services)
        {
            if (service.HasLiveInstance)
                liveCount++;
            if (!service.IsWanted && !service.IsLeaving)
                continue;
            count++;
            PublicState state = service.PublicState;
            if (state is PublicState.Failed or PublicState.Faulted)
                failed.Add(service.Definition.Name.Text);
            else if (state is PublicState.Ready or PublicState.Completed or PublicState.Stopped || service.IsWatching)
                upCount++;
        }
        if (core.Frame.Shutdown is not null)
            return liveCount == 1 ? "stopping: 1 service is left" : $"stopping: {liveCount} services are left";
        string text = $"{upCount} of {count} {(count == 1 ? "service" : "services")} up";
        if (failed.Count == 0)
            return text;
        string names = string.Join(", ", failed.Take(MostNames));
        return failed.Count > MostNames ? $"{text}; failed: {names} and {failed.Count - MostNames} more" : $"{text}; failed: {names}";
    }

    // A newline would begin another assignment.
    private static string OneLine(string text) => text.ReplaceLineEndings(" ");
}
