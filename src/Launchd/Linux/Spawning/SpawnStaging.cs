using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Interop;
using Launchd.Linux.Calls;

namespace Launchd.Linux.Spawning;

/// <summary>
/// A run of descriptor numbers that are kept taken by a harmless descriptor. The descriptors for a child are put there,
/// and the child copies only the part of the table up to the end of the run: so a birth costs the same whether the
/// supervisor holds ten descriptors or ten thousand.
/// </summary>
internal sealed class SpawnStaging : IDisposable
{
    private const int First = 20;
    private const int F_DUPFD_CLOEXEC = 1030;
    private readonly FileDescriptor _placeholder;

    /// <param name="placeholderTaken">Harmless: /dev/null.</param>
    /// <exception cref="SystemCallException">EMFILE: there are not that many numbers.</exception>
    public SpawnStaging(FileDescriptor placeholderTaken)
    {
        _placeholder = placeholderTaken;
        Start = Reserve();
    }

    /// <summary>How many places there are.</summary>
    public const int Count = 64;

    /// <summary>The number of the first place.</summary>
    public int Start { get; }

    /// <summary>Puts a copy of a descriptor into a place, close-on-exec.</summary>
    public Errno Put(int source, int place) => Libc.dup3(source, Start + place, Libc.O_CLOEXEC) < 0 ? Errno.Last : Errno.None;

    /// <summary>Puts the harmless descriptor back into the first places.</summary>
    public void Clear(int count)
    {
        for (int place = 0; place < count; place++)
            _ = Libc.dup3(_placeholder.Number, Start + place, Libc.O_CLOEXEC);
    }

    public void Dispose()
    {
        CloseRun(Start, Count);
        _placeholder.Dispose();
    }

    private int Reserve()
    {
        // F_DUPFD gives the first free number from the asked one on: if that is another number, the
        // run is interrupted and begins anew there.
        int start = First, held = 0;
        while (held < Count)
        {
            int number = Libc.fcntl(_placeholder.Number, F_DUPFD_CLOEXEC, start + held);
            if (number < 0)
                break;
            if (number == start + held)
            {
                held++;
                continue;
            }
            _ = ClientLibc.close(number);
            CloseRun(start, held);
            (start, held) = (number, 0);
        }
        if (held == Count)
            return start;
        CloseRun(start, held);
        _placeholder.Dispose();
        throw new SystemCallException("fcntl", "descriptors for new processes", Errno.EMFILE);
    }

    private static void CloseRun(int start, int count)
    {
        for (int i = 0; i < count; i++)
            _ = ClientLibc.close(start + i);
    }
}
