using Launchd.Model;
using static Launchd.Core.Recording.Values;

namespace Launchd.Core.Recording;

/// <summary>How failures are written.</summary>
internal static class FailureRecords
{
    // Of every case: what the host has found out about why.
    private const int Clue = 9;

    public static readonly Codec<Failure> Failures = new Family<Failure>("a kind of failure")
        .With(1, new Layout<Failure.SpawnFailed>("a birth that failed", new("", 0, ""))
            .With(1, Text, f => f.Stage, (f, v) => f with { Stage = v })
            .With(2, Int, f => f.ErrorNumber, (f, v) => f with { ErrorNumber = v })
            .With(3, Text, f => f.Text, (f, v) => f with { Text = v })
            .With(4, Bool, f => f.IsShortage, (f, v) => f with { IsShortage = v })
            .With(Clue, TextOrNull, f => f.Clue, (f, v) => f with { Clue = v }))
        .With(2, new Layout<Failure.NotReadyInTime>("a readiness that did not come", new(default(TimeSpan)))
            .With(1, Span, f => f.Limit, (f, v) => f with { Limit = v })
            .With(2, Bool, f => f.IsJob, (f, v) => f with { IsJob = v })
            .With(Clue, TextOrNull, f => f.Clue, (f, v) => f with { Clue = v }))
        .With(3, new Layout<Failure.WatchdogSilent>("a silent watchdog", new(default(TimeSpan)))
            .With(1, Span, f => f.Limit, (f, v) => f with { Limit = v })
            .With(Clue, TextOrNull, f => f.Clue, (f, v) => f with { Clue = v }))
        .With(4, new Layout<Failure.WatchdogTriggered>("a triggered watchdog", Failure.WatchdogTriggered.Value)
            .With(Clue, TextOrNull, f => f.Clue, (f, v) => f with { Clue = v }))
        .With(5, new Layout<Failure.Unhealthy>("a failed health check", new(""))
            .With(1, Text, f => f.Reason, (f, v) => f with { Reason = v })
            .With(Clue, TextOrNull, f => f.Clue, (f, v) => f with { Clue = v }))
        .With(6, new Layout<Failure.EndedWhileProving>("an end while proving", new(Status: null, After: null))
            .With(1, OrNull(Status), f => f.Status, (f, v) => f with { Status = v })
            .With(2, OrNull(Span), f => f.After, (f, v) => f with { After = v })
            .With(Clue, TextOrNull, f => f.Clue, (f, v) => f with { Clue = v }))
        .With(7, new Layout<Failure.ExitedEarly>("an early end", new(Status: default))
            .With(1, Status, f => f.Status, (f, v) => f with { Status = v })
            .With(Clue, TextOrNull, f => f.Clue, (f, v) => f with { Clue = v }))
        .With(8, new Layout<Failure.Exited>("an end", new(Status: default))
            .With(1, Status, f => f.Status, (f, v) => f with { Status = v })
            .With(Clue, TextOrNull, f => f.Clue, (f, v) => f with { Clue = v }))
        .With(9, new Layout<Failure.EndedOnReload>("an end on a reload", new(SignalNumber.Hup, Status: null))
            .With(1, Signal, f => f.Signal, (f, v) => f with { Signal = v })
            .With(2, OrNull(Status), f => f.Status, (f, v) => f with { Status = v })
            .With(Clue, TextOrNull, f => f.Clue, (f, v) => f with { Clue = v }))
        .With(10, new Layout<Failure.StartLimitReached>("a start limit", new(0, default, Last: null))
            .With(1, Int, f => f.Count, (f, v) => f with { Count = v })
            .With(2, Span, f => f.Interval, (f, v) => f with { Interval = v })
            .With(3, TextOrNull, f => f.Last, (f, v) => f with { Last = v })
            .With(Clue, TextOrNull, f => f.Clue, (f, v) => f with { Clue = v }))
        .With(11, new Layout<Failure.DependencyFailed>("a failed dependency", new(Dependency: default))
            .With(1, Name, f => f.Dependency, (f, v) => f with { Dependency = v })
            .With(2, TextOrNull, f => f.Why, (f, v) => f with { Why = v })
            .With(Clue, TextOrNull, f => f.Clue, (f, v) => f with { Clue = v }))
        .With(12, new Layout<Failure.CannotBeKilled>("a process that cannot be killed", new(0))
            .With(1, Int, f => f.Pid, (f, v) => f with { Pid = v })
            .With(2, TextOrNull, f => f.Remains, (f, v) => f with { Remains = v })
            .With(Clue, TextOrNull, f => f.Clue, (f, v) => f with { Clue = v }))
        .With(13, new Layout<Failure.Faulted>("a fault", new(""))
            .With(1, Text, f => f.Text, (f, v) => f with { Text = v })
            .With(Clue, TextOrNull, f => f.Clue, (f, v) => f with { Clue = v }));
}
