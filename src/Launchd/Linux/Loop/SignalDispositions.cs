using Launchd.Interop;
using static Launchd.Interop.SystemCallNumbers;

namespace Launchd.Linux.Loop;

/// <summary>
/// What this process does with each signal, as rt_sigaction(2) tells. An ignored signal stays ignored over execve(2), so a signal that the
/// program which started the supervisor ignored would be ignored in every service as well, without anybody having asked for it.
/// </summary>
internal static unsafe class SignalDispositions
{
    public const int Pipe = 13;
    private const int Count = 64, Kill = 9, Stop = 19;
    private const nint SIG_DFL = 0, SIG_IGN = 1;

    /// <summary>Bytes of the kernel's <c>struct sigaction</c>: handler, flags, restorer, mask.</summary>
    private const int ActionBytes = 4 * sizeof(ulong);

    /// <summary>
    /// Signals that are always reset: those for which the runtime may set a handler only later (SIGINT, SIGQUIT, SIGCHLD, SIGCONT,
    /// SIGWINCH), and those that libc keeps for itself, which posix_spawn(3) leaves ignored in a helper.
    /// </summary>
    private const ulong Always = 1UL << (2 - 1) | 1UL << (3 - 1) | 1UL << (17 - 1) | 1UL << (18 - 1) | 1UL << (28 - 1) | 3UL << (32 - 1);

    /// <summary>
    /// Signals that a child has to set to their defaults before its mask is lifted, in ascending order: before execve(2)
    /// resets them, a handler of the supervisor would run in the child, in the supervisor's memory. SIGPIPE, for which
    /// each service has a setting, is not among them.
    /// </summary>
    public static int[] ToReset { get; } = ListToReset();

    /// <summary>Sets every signal that is ignored to its default, SIGPIPE excepted, which the runtime ignores for itself.</summary>
    /// <returns>Those that were ignored, as bits from 0 for signal 1.</returns>
    public static ulong EndIgnoring()
    {
        ulong ignored = 0;
        for (int signal = 1; signal <= Count; signal++)
        {
            if (signal == Pipe || HandlerOf(signal) != SIG_IGN)
                continue;
            Set(signal, SIG_DFL);
            ignored |= 1UL << (signal - 1);
        }
        return ignored;
    }

    /// <summary>Ignores a signal that nobody handles.</summary>
    public static void Ignore(int signal)
    {
        if (HandlerOf(signal) == SIG_DFL)
            Set(signal, SIG_IGN);
    }

    private static void Set(int signal, nint handler)
    {
        nint* action = stackalloc nint[ActionBytes / sizeof(nint)];
        new Span<nint>(action, ActionBytes / sizeof(nint)).Clear();
        action[0] = handler;
        _ = Libc.syscall(rt_sigaction, signal, (nint)action, 0, sizeof(ulong), 0, 0);
    }

    private static int[] ListToReset() =>
        [.. Enumerable.Range(1, Count).Where(s => s != Pipe && ((Always >> (s - 1) & 1) != 0 || HandlerOf(s) != SIG_DFL))];

    // Called by number: libc's function refuses the two or three signals that libc keeps for itself.
    private static nint HandlerOf(int signal)
    {
        if (signal is Kill or Stop)
            return SIG_DFL;
        nint* action = stackalloc nint[ActionBytes / sizeof(nint)];
        return Libc.syscall(rt_sigaction, signal, 0, (nint)action, sizeof(ulong), 0, 0) == 0 ? action[0] : SIG_DFL;
    }
}
