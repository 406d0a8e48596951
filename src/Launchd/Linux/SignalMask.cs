using System.Runtime.InteropServices;
using System.Text;
using Launchd.Client;
using Launchd.Interop;

namespace Launchd.Linux;

/// <summary>
/// Signals as readable events. A signal is safe to read from a signalfd only if every thread blocks it, and the runtime has
/// threads before Main: so the supervisor blocks its signals and executes itself once more, and the second image inherits the mask
/// in all its threads. With SIGCHLD among them the runtime can never reap our children, not even as PID 1.
/// </summary>
internal static unsafe class SignalMask
{
    private const int Hup = 1, Int = 2, Quit = 3, Usr1 = 10, Usr2 = 12, Term = 15, Chld = 17;

    private const ulong Blocked =
        1UL << (Hup - 1) | 1UL << (Int - 1) | 1UL << (Quit - 1) | 1UL << (Usr1 - 1) | 1UL << (Usr2 - 1) | 1UL << (Term - 1) | 1UL << (Chld - 1);

    /// <summary>Makes sure that all threads block the supervisor's signals; may replace this process's image by itself.</summary>
    /// <exception cref="SystemCallException">The program cannot execute itself: /proc is missing, or its file is gone.</exception>
    public static void Enter()
    {
        ulong* set = stackalloc ulong[Libc.SignalSetBytes / sizeof(ulong)], old = stackalloc ulong[Libc.SignalSetBytes / sizeof(ulong)];
        new Span<ulong>(set, Libc.SignalSetBytes / sizeof(ulong)).Clear();
        set[0] = Blocked;
        _ = Libc.pthread_sigmask(Libc.SIG_BLOCK, set, old);
        // An ignored SIGCHLD, inherited from whoever started us, would make the kernel reap our children: signal(7), NOTES of wait(2).
        Libc.signal(Chld, 0);
        if ((old[0] & Blocked) == Blocked && StandardDescriptors.AreOpen)
            return;
        ExecuteSelf();
    }

    /// <summary>Unblocks what <see cref="Enter"/> blocked in a set of a child's. The descriptor is readable when a signal is pending.</summary>
    public static FileDescriptor OpenDescriptor()
    {
        ulong* set = stackalloc ulong[Libc.SignalSetBytes / sizeof(ulong)];
        new Span<ulong>(set, Libc.SignalSetBytes / sizeof(ulong)).Clear();
        set[0] = Blocked;
        int number = Libc.signalfd(-1, set, Libc.SFD_NONBLOCK | Libc.SFD_CLOEXEC);
        return number >= 0 ? new FileDescriptor(number) : throw new SystemCallException("signalfd", "the supervisor's signals", Errno.Last);
    }

    private static void ExecuteSelf()
    {
        // Not "/proc/self/exe": /proc/PID/comm would say "exe".
        string image = File.ResolveLinkTarget("/proc/self/exe", returnFinalTarget: false)?.FullName
            ?? throw new SystemCallException("readlink", "/proc/self/exe", Errno.ENOENT);
        byte[] line = File.ReadAllBytes("/proc/self/cmdline");
        byte[] path = Encoding.UTF8.GetBytes(image + "\0");
        fixed (byte* text = line, file = path)
        {
            int count = line.AsSpan().Count((byte)0);
            byte** arguments = (byte**)NativeMemory.AllocZeroed((nuint)count + 1, (nuint)sizeof(byte*));
            byte* at = text;
            for (int i = 0; i < count; i++)
            {
                arguments[i] = at;
                while (*at++ != 0)
                {
                }
            }
            StandardDescriptors.Open();
            Libc.execv(file, arguments);
            Errno errno = Errno.Last;
            NativeMemory.Free(arguments);
            throw new SystemCallException("execve", image, errno);
        }
    }
}
