using Launchd.Core.Instances;
using Launchd.Model;

namespace Launchd.Core;

/// <summary>Why an instance or a service failed: a closed family, shown verbatim in status, logs and replies.</summary>
internal abstract record Failure
{
    private Failure()
    {
    }

    /// <summary>The program was never executed. <paramref name="Text"/> names the stage, the subject and the kernel's reason.</summary>
    internal sealed record SpawnFailed(string Stage, int ErrorNumber, string Text) : Failure
    {
        /// <summary>
        /// The supervisor had no descriptor, memory or process left for the spawn. That is not the service's fault, and passes: so it does
        /// not count towards the service's start limit, and no client is sent away for it.
        /// </summary>
        public bool IsShortage { get; init; }

        public override string ToString() => Text;
    }

    /// <summary>What the host has found out about why, with the remedy; null: nothing.</summary>
    public string? Clue { get; init; }

    private string WithClue(string text) => Clue is null ? text : $"{text}: {Clue}";

    /// <param name="Limit">The time that it had.</param>
    /// <param name="IsJob">It was to end, and not to be ready.</param>
    internal sealed record NotReadyInTime(TimeSpan Limit, bool IsJob = false) : Failure
    {
        public override string ToString() => WithClue($"{(IsJob ? "did not end" : "was not ready")} within {Spans.Show(Limit)}");
    }

    internal sealed record WatchdogSilent(TimeSpan Limit) : Failure
    {
        public override string ToString() => $"sent no WATCHDOG=1 for {Spans.Show(Limit)}";
    }

    /// <summary>The program itself asked for it with <c>WATCHDOG=trigger</c>.</summary>
    internal sealed record WatchdogTriggered : Failure
    {
        public static readonly WatchdogTriggered Value = new();

        public override string ToString() => "asked for a restart by WATCHDOG=trigger";
    }

    /// <summary>Its health check failed too often. <paramref name="Reason"/> is the host's sentence.</summary>
    internal sealed record Unhealthy(string Reason) : Failure
    {
        public override string ToString() => $"failed its health check: {Reason}";
    }

    /// <summary>The instance ended, or said that it will, before its rollout had counted it as good.</summary>
    /// <param name="Status">Null: it has not ended yet.</param>
    /// <param name="After">How long after it was ready; null: it never was.</param>
    internal sealed record EndedWhileProving(ExitStatus? Status, TimeSpan? After) : Failure
    {
        public override string ToString() => WithClue(
            (Status?.ToString() ?? "said that it stops")
                + (After is { } after ? $" {Spans.Show(after)} after it was ready" : " before it was ready"));
    }

    /// <summary>Ended before it was ready.</summary>
    internal sealed record ExitedEarly(ExitStatus Status) : Failure
    {
        public override string ToString() => WithClue($"{Status} before it was ready");
    }

    /// <summary>Ended while ready, in a way that the configuration calls a failure.</summary>
    internal sealed record Exited(ExitStatus Status) : Failure
    {
        public override string ToString() => WithClue(Status.ToString());
    }

    /// <summary>Ended by itself right after the signal that told it to reload: it does not reload on that signal, but ends.</summary>
    /// <param name="Signal">The one it was sent.</param>
    /// <param name="Status">Null: it said that it stops, and has not ended yet.</param>
    internal sealed record EndedOnReload(SignalNumber Signal, ExitStatus? Status) : Failure
    {
        /// <summary>Without the status, for where that stands already.</summary>
        public string Text => $"reload failed: it ended on {Signal}";

        public override string ToString() => Status is { } status ? $"{Text} ({status})" : Text;
    }

    internal sealed record StartLimitReached(int Count, TimeSpan Interval, string? Last) : Failure
    {
        public override string ToString() =>
            $"started {Count} times within {Spans.Show(Interval)}, not tried again" + (Last is null ? "" : $"; last: {Last}");
    }

    /// <param name="Dependency">The first that failed.</param>
    /// <param name="Why">For a job: how it ended. Null: the other service's own lines say it.</param>
    internal sealed record DependencyFailed(ServiceName Dependency, string? Why = null) : Failure
    {
        public override string ToString() => $"requires {Dependency}, which failed" + (Why is null ? "" : $": {Why}");
    }

    /// <summary>SIGKILL did not end it.</summary>
    /// <param name="Pid">The main process.</param>
    /// <param name="Remains">What lives on, and why: the host's sentence. Null: nobody has looked.</param>
    internal sealed record CannotBeKilled(int Pid, string? Remains = null) : Failure
    {
        public override string ToString() => Remains ?? $"process {Pid} does not end on SIGKILL";
    }

    /// <summary>A step of the core threw: our bug, contained to this service.</summary>
    internal sealed record Faulted(string Text) : Failure
    {
        public override string ToString() => "the supervisor met an error of its own: " + Text;
    }
}
