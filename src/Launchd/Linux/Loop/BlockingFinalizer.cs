using System.Runtime.CompilerServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;
using static Launchd.Interop.SystemCallNumbers;

namespace Launchd.Linux.Loop;

/// <summary>
/// Blocks signals in the runtime's thread of finalizers, which runs before any code of ours and inherits no mask of ours: a finalizer is
/// the only code of ours that runs there.
/// </summary>
internal sealed unsafe class BlockingFinalizer
{
    private static int _thread;

    private readonly ulong _signals;

    private BlockingFinalizer(ulong signals) => _signals = signals;

    ~BlockingFinalizer()
    {
        ulong set = _signals;
        if (Libc.syscall(rt_sigprocmask, Libc.SIG_BLOCK, (nint)(&set), 0, sizeof(ulong), 0, 0) == 0)
            Volatile.Write(ref _thread, Libc.gettid());
    }

    /// <summary>
    /// Blocks the signals in all threads but this one, if there is no other than that of the finalizers, as in the native program before a
    /// thread of ours. False: there are others, or /proc does not tell.
    /// </summary>
    /// <param name="signals">As bits from 0 for signal 1.</param>
    public static bool TryBlock(ulong signals)
    {
        using FileDescriptor? tasks = Files.OpenDirectory("/proc/self/task");
        if (tasks is null || Files.Numbers(tasks).Count() != 2)
            return false;
        Leave(signals);
        GC.Collect(0);
        GC.WaitForPendingFinalizers();
        int thread = Volatile.Read(ref _thread);
        return thread != 0 && thread != Libc.gettid();
    }

    // Not inlined, so that no register of the caller still refers to the object when it is to be found unreachable.
    [MethodImpl(MethodImplOptions.NoInlining)]
    private static void Leave(ulong signals) => _ = new BlockingFinalizer(signals);
}
