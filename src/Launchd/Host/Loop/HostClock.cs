using Launchd.Core;
using Launchd.Linux.Loop;

namespace Launchd.Host.Loop;

/// <summary>The clock by which the core is told when something happened, in the core's own measure.</summary>
internal static class HostClock
{
    public static Moment Now => new(Clock.MonotonicNanoseconds);
}
