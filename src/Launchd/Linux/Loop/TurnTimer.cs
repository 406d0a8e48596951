using Launchd.Client;
using Launchd.Interop;

namespace Launchd.Linux.Loop;

/// <summary>
/// A timer that runs while a loop is in a turn and stands while it waits (timerfd_create(2), CLOCK_MONOTONIC). Another process that has a
/// copy of the descriptor finds out that a turn takes long without any message: it is readable after each period of one turn, and reading
/// it tells how many of this turn have gone by since it was read. For the loop's thread.
/// </summary>
internal sealed unsafe class TurnTimer : IDisposable
{
    private const int CLOCK_MONOTONIC = 1, TFD_CLOEXEC = 0x80000, TFD_NONBLOCK = 0x800;
    private const long Second = 1_000_000_000;

    private readonly long _period;

    private TurnTimer(FileDescriptor timer, long period) => (Descriptor, _period) = (timer, period);

    /// <summary>Null: the kernel has no memory, or this process no number, for another descriptor.</summary>
    /// <param name="period">In nanoseconds, more than 0.</param>
    public static TurnTimer? TryOpen(long period) =>
        Libc.timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK) is >= 0 and int number
            ? new TurnTimer(new FileDescriptor(number), period) : null;

    /// <summary>Owned by this object.</summary>
    public FileDescriptor Descriptor { get; }

    /// <summary>A turn begins.</summary>
    public void Begin() => Set(_period);

    /// <summary>The turn is over.</summary>
    public void End() => Set(0);

    public void Dispose()
    {
        // Others have copies.
        End();
        Descriptor.Dispose();
    }

    private void Set(long period)
    {
        // struct itimerspec: the interval, then the time to the first end, each in seconds and nanoseconds.
        long* setting = stackalloc long[4] { period / Second, period % Second, period / Second, period % Second };
        _ = Libc.timerfd_settime(Descriptor.Number, 0, setting, null);
    }
}
