using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Descriptors;

/// <summary>
/// Descriptors 0, 1 and 2, which the program that started the supervisor may have closed. Then the next files that
/// are opened would get these numbers, and what is written to the standard output would go there: the runtime opens
/// things of its own before any code of ours runs.
/// </summary>
internal static class StandardDescriptors
{
    private const int Count = 3;
    private const int F_GETFD = 1, F_SETFD = 2, FD_CLOEXEC = 1;
    private const int O_RDWR = 2;

    /// <summary>
    /// Whether all three were inherited: a descriptor that this process has opened is close-on-exec, which tells it apart.
    /// </summary>
    public static bool AreOpen
    {
        get
        {
            for (int number = 0; number < Count; number++)
            {
                if (!IsInherited(number))
                    return false;
            }
            return true;
        }
    }

    /// <summary>
    /// Puts /dev/null in the place of missing standard descriptors. Only right before execve(2): the runtime may have opened
    /// some of these numbers for itself, and loses them.
    /// </summary>
    /// <exception cref="SystemCallException">/dev/null cannot be opened.</exception>
    public static void Open()
    {
        for (int number = 0; number < Count; number++)
        {
            if (IsInherited(number))
                continue;
            using FileDescriptor nothing = Files.Open(null, "/dev/null", O_RDWR, 0, out Errno refused)
                ?? throw new SystemCallException("open", "/dev/null", refused);
            if (nothing.Number == number)
                _ = Libc.fcntl(nothing.ReleaseNumber(), F_SETFD, 0);
            else if (Libc.dup3(nothing.Number, number, 0) < 0)
                throw new SystemCallException("dup3", "/dev/null", Errno.Last);
        }
    }

    private static bool IsInherited(int number) => Libc.fcntl(number, F_GETFD, 0) is var flags && flags >= 0 && (flags & FD_CLOEXEC) == 0;
}
