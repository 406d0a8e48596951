using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Launchd.Probe;

/// <summary>Reports every signal that can be caught, and ends the probe on SIGTERM or SIGINT unless it was told to ignore them.</summary>
internal sealed class Signals : IDisposable
{
    private static readonly (int Number, string Name)[] Caught =
        [(1, "HUP"), (2, "INT"), (3, "QUIT"), (10, "USR1"), (12, "USR2"), (15, "TERM")];

    private readonly Plan _plan;
    private readonly ManualResetEventSlim _stop = new();
    private readonly List<PosixSignalRegistration> _registrations = [];

    public Signals(Plan plan)
    {
        _plan = plan;
        foreach ((int number, string name) in Caught)
            _registrations.Add(PosixSignalRegistration.Create((PosixSignal)number, context => Handle(context, name)));
    }

    /// <summary>Returns never by itself: the end comes from the handler, even in the middle of a step.</summary>
    public void WaitForStop() => _stop.Wait();

    /// <summary>Lets time pass; signals are handled meanwhile.</summary>
    public void Pass(TimeSpan duration) => _stop.Wait(duration);

    public void Dispose()
    {
        foreach (PosixSignalRegistration registration in _registrations)
            registration.Dispose();
        _stop.Dispose();
    }

    private void Handle(PosixSignalContext context, string name)
    {
        context.Cancel = true;
        Output.Line("signal", json => json.WriteString("name", "SIG" + name));
        switch (name)
        {
            case "HUP" when _plan.ConfirmsReload:
                long microseconds = (long)Stopwatch.GetElapsedTime(0).TotalMicroseconds;
                Notifier.Send(["RELOADING=1", $"MONOTONIC_USEC={microseconds}"]);
                Notifier.Send(["READY=1"]);
                break;
            case "INT" or "TERM" when !_plan.IgnoresTerm:
                Stop();
                break;
        }
    }

    private void Stop()
    {
        if (_plan.SaysStopping)
            Notifier.Send(["STOPPING=1"]);
        Echo.IsLeaving = true;
        // Nothing sets this one: the wait is the time that draining takes.
        if (_plan.Drain > TimeSpan.Zero)
            _stop.Wait(_plan.Drain);
        Output.Line("stopped", json => json.WriteNumber("code", _plan.StopCode));
        // At once: the main thread may be inside a system call that does not end.
        Libc._exit(_plan.StopCode);
    }
}
