using System.Buffers.Text;
using Launchd.Client;
using Launchd.Interop;

namespace Launchd.Keeper;

/// <summary>
/// The end of services that no supervisor is left for: a signal to each child of the keeper. Nothing is opened and nothing allocated then.
/// Owns the kernel's list of the children.
/// </summary>
/// <param name="listTaken">proc_tid_children(5) of the thread that has children, its first; null: this kernel has no such list.</param>
internal sealed unsafe class KeeperEnd(FileDescriptor? listTaken) : IDisposable
{
    private const int LongestNumber = 12;

    private readonly byte[] _list = new byte[4096];

    /// <summary>Sends a signal to every child. Children that have ended and were not reaped do not mind.</summary>
    public void Signal(int signal)
    {
        if (listTaken is null)
        {
            // Without the list only PID 1 can name its children: kill(2), -1 is every process but itself.
            if (Libc.getpid() == 1)
                _ = Libc.kill(-1, signal);
            return;
        }
        nint position = 0;
        int kept = 0;
        while (true)
        {
            nint got;
            fixed (byte* room = _list)
                got = Libc.pread(listTaken.Number, room + kept, (nuint)(_list.Length - kept), position);
            if (got <= 0)
                return;
            position += got;
            kept = SignalAll(kept + (int)got, signal);
        }
    }

    public void Dispose() => listTaken?.Dispose();

    // Pids in decimal, each with a space behind it. What comes after the last space is kept for the next read.
    private int SignalAll(int length, int signal)
    {
        ReadOnlySpan<byte> rest = _list.AsSpan(0, length);
        while (rest.IndexOf((byte)' ') is >= 0 and int end)
        {
            // A child that was not reaped: its number is its own.
            if (Utf8Parser.TryParse(rest[..end], out int pid, out _) && pid > 0)
                _ = Libc.kill(pid, signal);
            rest = rest[(end + 1)..];
        }
        if (rest.Length > LongestNumber)
            return 0;
        rest.CopyTo(_list);
        return rest.Length;
    }
}
