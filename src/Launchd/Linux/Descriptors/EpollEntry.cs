using System.Buffers.Text;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Descriptors;

/// <summary>A descriptor that an epoll set of another process waits for, as proc_pid_fdinfo(5) tells.</summary>
/// <param name="Number">The number under which it was added: the process may have closed it since.</param>
/// <param name="Events">EPOLLIN and so on, with what the kernel adds.</param>
/// <param name="Data">The value that the process gets with the events.</param>
/// <param name="Inode">Of the file behind the descriptor.</param>
/// <param name="Device">The device of that file in the kernel's form: 12 bits of major and 20 of minor number.</param>
internal readonly unsafe record struct EpollEntry(int Number, uint Events, ulong Data, ulong Inode, uint Device)
{
    /// <summary>
    /// Entries with higher numbers are left alone: the change needs a descriptor table of that length, for which the supervisor pays.
    /// </summary>
    private const int HighestNumber = (1 << 16) - 1;

    private const int ChunkBytes = 64 << 10;

    /// <summary>Most bytes that are read: room for a hundred thousand entries of one set.</summary>
    private const int MostBytes = 8 << 20;

    /// <summary>The set waits for input on the descriptor, or will again when the process has handled the last event.</summary>
    public bool IsAwake => (Events & (Libc.EPOLLIN | Libc.EPOLLRDNORM | Libc.EPOLLONESHOT)) != 0;

    /// <summary>The kernel does not change such an entry, epoll_ctl(2): it is to be taken away, and another added in its place.</summary>
    public bool IsExclusive => (Events & Libc.EPOLLEXCLUSIVE) != 0;

    /// <summary>
    /// The entries of a set that are wanted. May wait as long as the process reads from its set, for which there is no
    /// bound: so only for a thread that may be kept waiting.
    /// </summary>
    /// <param name="pid">The process with the set. If it has ended, or may not be looked at, the result is empty.</param>
    /// <param name="set">The number of the set in that process.</param>
    /// <param name="isWanted">Picks entries by their file.</param>
    /// <param name="most">Further ones are left out.</param>
    public static List<EpollEntry> Read(int pid, int set, Predicate<EpollEntry> isWanted, int most)
    {
        List<EpollEntry> found = [];
        using FileDescriptor? file = Files.OpenToRead($"/proc/{pid}/fdinfo/{set}", out _);
        if (file is null)
            return found;
        byte[] buffer = new byte[ChunkBytes];
        int kept = 0;
        for (int total = 0; total < MostBytes && found.Count < most;)
        {
            nint got;
            fixed (byte* start = buffer)
                got = Libc.read(file.Number, start + kept, (nuint)(ChunkBytes - kept));
            if (got <= 0)
                break;
            total += (int)got;
            ReadOnlySpan<byte> rest = Scan(buffer.AsSpan(0, kept + (int)got), isWanted, most, found);
            // No line of the kernel is that long; of one that were, the rest would be no line either.
            kept = rest.Length == ChunkBytes ? 0 : rest.Length;
            rest[..kept].CopyTo(buffer);
        }
        return found;
    }

    /// <summary>Adds the entries of whole lines, until there are enough. What is left.</summary>
    public static ReadOnlySpan<byte> Scan(ReadOnlySpan<byte> text, Predicate<EpollEntry> isWanted, int most, List<EpollEntry> found)
    {
        for (int end = text.IndexOf((byte)'\n'); end >= 0 && found.Count < most; end = text.IndexOf((byte)'\n'))
        {
            if (Parse(text[..end]) is { IsAwake: true, Number: <= HighestNumber } entry && isWanted(entry))
                found.Add(entry);
            text = text[(end + 1)..];
        }
        return text;
    }

    // tfd: 12 events: 19 data: c pos:0 ino:61af sdev:8; all but the number in hexadecimal.
    private static EpollEntry? Parse(ReadOnlySpan<byte> line) =>
        TryTake(ref line, "tfd:"u8, 'D', out ulong number) && number <= int.MaxValue
        && TryTake(ref line, "events:"u8, 'x', out ulong events) && events <= uint.MaxValue
        && TryTake(ref line, "data:"u8, 'x', out ulong data) && TryTake(ref line, "ino:"u8, 'x', out ulong inode)
        && TryTake(ref line, "sdev:"u8, 'x', out ulong device)
        && device <= uint.MaxValue
        ? new EpollEntry((int)number, (uint)events, data, inode, (uint)device) : null;

    private static bool TryTake(ref ReadOnlySpan<byte> line, ReadOnlySpan<byte> name, char format, out ulong value)
    {
        value = 0;
        int at = line.IndexOf(name);
        if (at < 0)
            return false;
        ReadOnlySpan<byte> text = line[(at + name.Length)..].TrimStart((byte)' ');
        if (!Utf8Parser.TryParse(text, out value, out int used, format))
            return false;
        line = text[used..];
        return true;
    }
}
