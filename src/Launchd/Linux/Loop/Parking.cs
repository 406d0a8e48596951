using System.Runtime.InteropServices;
using Launchd.Interop;

namespace Launchd.Linux.Loop;

/// <summary>
/// Where one thread sleeps until another wakes it: a word of memory, futex(2). That takes one call on each side. The runtime's monitors
/// wake a thread while they hold their lock, so that the thread has to sleep once more. Lives as long as the process.
/// </summary>
internal sealed unsafe class Parking
{
    private const int FUTEX_WAIT_PRIVATE = 128, FUTEX_WAKE_PRIVATE = 129;

    /// <summary>1: the thread is to wake, or need not sleep.</summary>
    private readonly int* _word = (int*)NativeMemory.AllocZeroed(sizeof(int));

    /// <summary>
    /// Sleeps until <see cref="Wake"/> is called, or not at all if it was called since the last sleep. Only one thread may sleep here.
    /// </summary>
    public void Sleep()
    {
        // futex(2) returns also for signals, and without any reason.
        while (Interlocked.Exchange(ref *_word, 0) == 0)
            _ = Libc.syscall(SystemCallNumbers.futex, (nint)_word, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
    }

    /// <summary>Wakes the thread; from any thread. Several calls before it wakes count as one.</summary>
    public void Wake()
    {
        if (Interlocked.Exchange(ref *_word, 1) == 0)
            _ = Libc.syscall(SystemCallNumbers.futex, (nint)_word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    }
}
