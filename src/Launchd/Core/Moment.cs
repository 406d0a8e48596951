namespace Launchd.Core;

/// <summary>
/// A point of CLOCK_MONOTONIC in nanoseconds. The core gets it with every event and never asks for it; it never goes backwards.
/// </summary>
internal readonly record struct Moment(long Nanoseconds) : IComparable<Moment>
{
    public int CompareTo(Moment other) => Nanoseconds.CompareTo(other.Nanoseconds);

    public static Moment operator +(Moment start, TimeSpan span) => new(start.Nanoseconds + (span.Ticks * TimeSpan.NanosecondsPerTick));

    public static TimeSpan operator -(Moment end, Moment start) => new((end.Nanoseconds - start.Nanoseconds) / TimeSpan.NanosecondsPerTick);

    public static bool operator <(Moment left, Moment right) => left.Nanoseconds < right.Nanoseconds;

    public static bool operator >(Moment left, Moment right) => left.Nanoseconds > right.Nanoseconds;

    public static bool operator <=(Moment left, Moment right) => left.Nanoseconds <= right.Nanoseconds;

    public static bool operator >=(Moment left, Moment right) => left.Nanoseconds >= right.Nanoseconds;
}
