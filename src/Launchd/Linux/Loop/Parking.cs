using System.Runtime.InteropServices;
using Launchd.Interop;

namespace Launchd.Linux.Loop;

/// <summary>
/// Where one thread sleeps until another wakes it: a word of memory, futex(2). That is one call on each side, while the runtime's monitors
/// wake a thread with their lock held, upon which it sleeps once more for the lock. As long-lived as the process.
/// </summary>
internal sealed unsafe class Parking
{
    private const int FUTEX_WAIT_PRIVATE = 128, FUTEX_WAKE_PRIVATE = 129;

    /// <summary>1: it is to wake, or need not sleep.</summary>
    private readonly int* _word = (int*)NativeMemory.AllocZeroed(sizeof(int));

    /// <summary>Sleeps until it is woken, or was since it slept last. One thread alone may sleep here.</summary>
    public void Sleep()
    {
        // Returns also for signals, and for nothing.
        while (Interlocked.Exchange(ref *_word, 0) == 0)
            _ = Libc.syscall(SystemCallNumbers.futex, (nint)_word, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0);
    }

    /// <summary>From any thread. Several calls before it wakes count as one.</summary>
    public void Wake()
    {
        if (Interlocked.Exchange(ref *_word, 1) == 0)
            _ = Libc.syscall(SystemCallNumbers.futex, (nint)_word, FUTEX_WAKE_PRIVATE, 1, 0, 0, 0);
    }
}
