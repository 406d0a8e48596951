namespace Launchd.Logs;

/// <summary>What a log pump is made with.</summary>
internal sealed record LogPumpOptions
{
    /// <summary>Hands an action to the main loop; called from the pump's threads.</summary>
    public required Action<Action> Post { get; init; }

    /// <summary>Describes an unforeseen exception in words.</summary>
    public Func<Exception, string> Describe { get; init; } = static defect => defect.GetType().Name;

    /// <summary>On the main loop: a stream of an instance has ended, all its lines are processed.</summary>
    public Action<long, string>? Ended { get; init; }

    /// <summary>On the main loop: something to log.</summary>
    public Action<PumpNotice>? Noticed { get; init; }

    /// <summary>
    /// Where lines of services are shown; null: nowhere. A lane of the pump uses it; the caller disposes it after the pump's end.
    /// </summary>
    public OutputWriter? Display { get; init; }

    /// <summary>
    /// Whether pipes of the supervisor's own output are written to by separate processes, where clone(2) works as it should.
    /// </summary>
    public bool WritesByProcess { get; init; }

    public OutputStyle Style { get; init; } = OutputStyle.Plain;

    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>How long a line may stay without its end before it is passed on anyway.</summary>
    public TimeSpan TailPatience { get; init; } = TimeSpan.FromSeconds(1);
}
