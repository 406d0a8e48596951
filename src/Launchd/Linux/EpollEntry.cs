using System.Globalization;
using Launchd.Interop;

namespace Launchd.Linux;

/// <summary>A descriptor that an epoll set of a process waits for, as proc_pid_fdinfo(5) tells.</summary>
/// <param name="Pid">Whose set.</param>
/// <param name="Set">The number of the set in that process.</param>
/// <param name="Number">The number under which the descriptor was added: the process may have closed it since.</param>
/// <param name="Events">EPOLLIN and so on, with what the kernel adds.</param>
/// <param name="Data">What the process gets with its events.</param>
/// <param name="Inode">Of the file behind the descriptor.</param>
internal readonly record struct EpollEntry(int Pid, int Set, int Number, uint Events, ulong Data, ulong Inode)
{
    private const int MostSetBytes = 1 << 20;

    /// <summary>It waits for something to come.</summary>
    public bool IsAwake => (Events & (Libc.EPOLLIN | Libc.EPOLLRDNORM)) != 0;

    /// <summary>Only adding and taking away is allowed, epoll_ctl(2).</summary>
    public bool IsExclusive => (Events & Libc.EPOLLEXCLUSIVE) != 0;

    /// <summary>What one set waits for; nothing if the process has ended or may not be looked at.</summary>
    public static IEnumerable<EpollEntry> Read(int pid, int set)
    {
        foreach (string line in Files.ReadText($"/proc/{pid}/fdinfo/{set}", MostSetBytes)?.Split('\n') ?? [])
        {
            if (Parse(pid, set, line) is { } entry)
                yield return entry;
        }
    }

    // tfd: 12 events: 19 data: c pos:0 ino:61af sdev:8; all but the number in hexadecimal.
    private static EpollEntry? Parse(int pid, int set, string line)
    {
        string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
        if (words is not ["tfd:", var number, "events:", var events, "data:", var data, _, ['i', 'n', 'o', ':', .. var inode], ..])
            return null;
        return int.TryParse(number, CultureInfo.InvariantCulture, out int target)
            && uint.TryParse(events, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out uint waited)
            && ulong.TryParse(data, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong own)
            && ulong.TryParse(inode, NumberStyles.HexNumber, CultureInfo.InvariantCulture, out ulong file)
            ? new EpollEntry(pid, set, target, waited, own, file) : null;
    }
}
