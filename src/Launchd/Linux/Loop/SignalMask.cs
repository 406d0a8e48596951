using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Paths;
using static Launchd.Interop.SystemCallNumbers;

namespace Launchd.Linux.Loop;

/// <summary>
/// Signals as readable events. A signal is safe to read from a signalfd only if every thread blocks it, and the runtime has threads before
/// Main. In the native program that is one, which runs finalizers: a finalizer blocks the signals there. Under the JIT there are threads
/// that run no code of ours, so the program blocks the signals and executes itself once more, and the second image inherits the mask in
/// all its threads. With SIGCHLD among them the runtime can never reap our children, not even as PID 1.
/// </summary>
/// <remarks>
/// Blocked are not only the signals that mean something to the supervisor but all that would end or stop it, whoever sends them: a file
/// that grows beyond a limit (SIGXFSZ), a timer that was set before it was started (SIGALRM), a stranger with kill(1). Blocking is better
/// than ignoring: services do not inherit it, for a mask is lifted in each of them anyhow, and the loop hears what came.
/// </remarks>
internal static unsafe class SignalMask
{
    private const string Self = "/proc/self/exe", Words = "/proc/self/cmdline";
    private const int Ill = 4, Trap = 5, Abrt = 6, Bus = 7, Fpe = 8, Kill = 9,
        Segv = 11, Cont = 18, Stop = 19, Tstp = 20, Urg = 23, Winch = 28;

    /// <summary>The signals that libc keeps for itself (timers, cancellation, set-user-id) begin here and end before SIGRTMIN.</summary>
    private const int FirstOfLibc = 32;

    /// <summary>
    /// Signals that are not blocked: those of a fault of this process itself, those that cannot be blocked, those that do no harm by
    /// default, and that of Ctrl-Z, which the operator may use.
    /// </summary>
    private const ulong Left =
        1UL << (Ill - 1) | 1UL << (Trap - 1) | 1UL << (Abrt - 1) | 1UL << (Bus - 1) | 1UL << (Fpe - 1) | 1UL << (Segv - 1)
        | 1UL << (Kill - 1) | 1UL << (Stop - 1) | 1UL << (Cont - 1) | 1UL << (Tstp - 1) | 1UL << (Urg - 1) | 1UL << (Winch - 1);

    /// <summary>
    /// Signals that the loop reads. Not among them: libc's own, and SIGRTMIN, by which the runtime interrupts its threads.
    /// </summary>
    private static readonly ulong Heard = ~(Left | Between(FirstOfLibc, Libc.__libc_current_sigrtmin()));

    /// <summary>
    /// Makes sure that all threads block the supervisor's signals; may replace this process's image by itself. For the first thread, before
    /// there are others of ours.
    /// </summary>
    /// <exception cref="SystemCallException">The program cannot execute itself: /proc is missing, or its file is gone.</exception>
    public static void Enter()
    {
        // A signal that was ignored when the supervisor was started would be ignored in services too; and with SIGCHLD ignored the
        // kernel would reap the supervisor's children (wait(2), NOTES). After the exec these signals are blocked anyway; only
        // Ctrl-Z is not, and has to stay ignored if it was.
        ulong ignored = SignalDispositions.EndIgnoring();
        // Every new thread of libc lifts the signal of cancellation for itself, so that one cannot be blocked.
        SignalDispositions.Ignore(FirstOfLibc);
        ulong set = Heard | (ignored & 1UL << (Tstp - 1));
        bool wereBlocked = (Block(set) & Heard) == Heard;
        if (StandardDescriptors.AreOpen && (wereBlocked || BlockingFinalizer.TryBlock(set)))
            return;
        ExecuteSelf();
    }

    /// <summary>Signals that this thread blocks: who is started with them has nothing left to do in <see cref="Enter"/>.</summary>
    public static ulong Present => Block(0);

    /// <summary>Readable when a signal is pending that <see cref="Enter"/> has blocked.</summary>
    public static FileDescriptor OpenDescriptor()
    {
        ulong* set = stackalloc ulong[Libc.SignalSetBytes / sizeof(ulong)];
        new Span<ulong>(set, Libc.SignalSetBytes / sizeof(ulong)).Clear();
        set[0] = Heard;
        int number = Libc.signalfd(-1, set, Libc.SFD_NONBLOCK | Libc.SFD_CLOEXEC);
        return number >= 0 ? new FileDescriptor(number) : throw new SystemCallException("signalfd", "the supervisor's signals", Errno.Last);
    }

    /// <summary>Blocks signals in this thread. Returns what it had blocked before.</summary>
    private static ulong Block(ulong set)
    {
        ulong old = 0;
        // Called by number: libc's function would leave out libc's own signals.
        _ = Libc.syscall(rt_sigprocmask, Libc.SIG_BLOCK, (nint)(&set), (nint)(&old), sizeof(ulong), 0, 0);
        return old;
    }

    private static ulong Between(int first, int last)
    {
        ulong signals = 0;
        for (int signal = first; signal <= last; signal++)
            signals |= 1UL << (signal - 1);
        return signals;
    }

    private static void ExecuteSelf()
    {
        // Not "/proc/self/exe": /proc/PID/comm would say "exe".
        string image = Files.ReadLink(null, Self) ?? throw WithoutProc("readlink", Self, Errno.Last);
        using FileDescriptor words = Files.OpenToRead(Words, out Errno refused) ?? throw WithoutProc("open", Words, refused);
        byte[] line = Files.ReadBytes(words, int.MaxValue, out refused) ?? throw WithoutProc("read", Words, refused);
        words.Dispose();
        byte[] path = CString.From(image);
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
            // A directory on the way is closed to this user, or the file has been replaced: the link leads to it all the same, and all that
            // is lost is the name in /proc/PID/comm until the supervisor takes its own.
            fixed (byte* link = CString.From(Self))
                Libc.execv(link, arguments);
            NativeMemory.Free(arguments);
            throw new SystemCallException("execve", image, errno);
        }
    }

    private static SystemCallException WithoutProc(string call, string path, Errno refused) =>
        new(call, path, refused, refused == Errno.ENOENT ? "the supervisor needs /proc: mount it" : null);
}
