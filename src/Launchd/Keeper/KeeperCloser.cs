using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Interop;
using Launchd.Linux.Loop;

namespace Launchd.Keeper;

/// <summary>
/// Closes descriptors on a thread of its own: the last close of a socket with SO_LINGER, or of a file of a user-space file system, may take
/// as long as a stranger likes, and the keeper must go on answering.
/// </summary>
internal static unsafe class KeeperCloser
{
    private const int StackBytes = 64 << 10;

    private static int _numbers = -1;
    private static long _asked;
    private static long _closed;

    /// <summary>
    /// Something is being closed. An execve(2) would wait for that, and would close itself what still waits.
    /// </summary>
    public static bool IsBusy => _asked != Volatile.Read(ref _closed);

    /// <summary>Begins the thread. Before it, and where it cannot be begun, descriptors are closed by whoever asks.</summary>
    public static void Begin()
    {
        int* ends = stackalloc int[2];
        if (Libc.pipe2(ends, Libc.O_CLOEXEC) != 0)
            return;
        (int read, int write) = (ends[0], ends[1]);
        if (Worker.TryStart("closer", StackBytes, () => CloseAll(read)) is null)
        {
            _ = ClientLibc.close(read);
            _ = ClientLibc.close(write);
            return;
        }
        // The writer never waits. Each message is as long as PIPE_BUF guarantees to come whole (pipe(7)).
        _ = Libc.fcntl(write, Libc.F_SETFL, Libc.O_NONBLOCK);
        _numbers = write;
    }

    /// <summary>Ends the thread when it has closed what it was given.</summary>
    public static void End()
    {
        if (_numbers >= 0)
            _ = ClientLibc.close(_numbers);
        _numbers = -1;
    }

    /// <summary>Has a descriptor closed. Where thousands wait already, because one of them hangs, it stays open.</summary>
    public static void Close(int number)
    {
        if (_numbers < 0)
            _ = ClientLibc.close(number);
        else
            _asked += Libc.write(_numbers, &number, sizeof(int)) == sizeof(int) ? 1 : 0;
    }

    private static void CloseAll(int numbers)
    {
        int number;
        while (Libc.read(numbers, &number, sizeof(int)) is nint got && (got == sizeof(int) || Errno.Last == Errno.EINTR))
        {
            if (got != sizeof(int))
                continue;
            _ = ClientLibc.close(number);
            _ = Interlocked.Increment(ref _closed);
        }
        _ = ClientLibc.close(numbers);
    }
}
