using Launchd.Interop;

namespace Launchd.Linux.Calls;

/// <summary>
/// Whether others may look into this process by /proc and ptrace(2) (PR_SET_DUMPABLE of prctl(2)): as the kernel has it by default, whoever
/// has its user and its capabilities may, so that <c>/proc/1/fd/1</c> is there for the programs of a container. Not while a child that
/// becomes another user shares this process's memory, because that user could trace it. From any thread.
/// </summary>
internal static class Visibility
{
    private static readonly Lock Gate = new();
    private static int _hiders;

    /// <summary>From here on, until as many calls of <see cref="Show"/>, nobody but root may look.</summary>
    public static void Hide()
    {
        lock (Gate)
        {
            if (_hiders++ == 0)
                Set(false);
        }
    }

    public static void Show()
    {
        lock (Gate)
        {
            if (--_hiders == 0)
                Set(true);
        }
    }

    /// <summary>A thread of this process has changed its user, after which the kernel hides all of it.</summary>
    public static void Restore()
    {
        lock (Gate)
        {
            if (_hiders == 0)
                Set(true);
        }
    }

    private static void Set(bool isVisible) => _ = Libc.prctl(Libc.PR_SET_DUMPABLE, isVisible ? 1u : 0u, 0, 0, 0);
}
