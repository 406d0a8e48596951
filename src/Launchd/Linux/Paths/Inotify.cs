using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;

namespace Launchd.Linux.Paths;

/// <summary>
/// One inotify(7) instance: which directories the kernel tells about, and what it tells, as it comes. Watches may be added
/// and removed from any thread; owns its descriptor.
/// </summary>
internal sealed unsafe class Inotify : IDisposable
{
    private const int BufferBytes = 64 * 1024;

    /// <summary>
    /// Buffers for one call of <see cref="Read"/>: somebody who makes and removes files without end must not hold its caller.
    /// </summary>
    private const int MostReads = 4;

    private readonly byte[] _buffer = new byte[BufferBytes];

    private Inotify(FileDescriptor descriptorTaken) => Descriptor = descriptorTaken;

    /// <summary>Readable when something happened. Non-blocking.</summary>
    public FileDescriptor Descriptor { get; }

    /// <summary>Null: refused, EMFILE where <c>fs.inotify.max_user_instances</c> is reached.</summary>
    public static Inotify? Open(out Errno refused)
    {
        int number = Libc.inotify_init1(Libc.IN_CLOEXEC | Libc.IN_NONBLOCK);
        refused = number < 0 ? Errno.Last : Errno.None;
        return number < 0 ? null : new Inotify(new FileDescriptor(number));
    }

    /// <summary>Begins to watch. The kernel gives a directory that is watched already the number that it has.</summary>
    /// <param name="directory">Path, symbolic links followed.</param>
    /// <param name="events">Which are told.</param>
    /// <param name="refused">ENOSPC where <c>fs.inotify.max_user_watches</c> is reached.</param>
    /// <returns>The number of the watch; -1: refused.</returns>
    public int Add(string directory, uint events, out Errno refused)
    {
        int watch;
        fixed (byte* path = CString.From(directory))
            watch = Libc.inotify_add_watch(Descriptor.Number, path, events);
        refused = watch < 0 ? Errno.Last : Errno.None;
        return watch;
    }

    /// <summary>Ends a watch. What it has told already can still be read, and <c>IN_IGNORED</c> behind it.</summary>
    public void Remove(int watch) => _ = Libc.inotify_rm_watch(Descriptor.Number, watch);

    /// <summary>Reads what came, as much as fits into a few buffers. Never waits.</summary>
    /// <param name="take">
    /// Told the number of the watch (-1 for <c>IN_Q_OVERFLOW</c>), the events, and the name in its directory (empty: of itself).
    /// </param>
    public void Read(Action<int, uint, string> take)
    {
        for (int i = 0; i < MostReads; i++)
        {
            nint got;
            fixed (byte* bytes = _buffer)
                got = Libc.read(Descriptor.Number, bytes, BufferBytes);
            if (got <= 0)
                return;
            for (int at = 0; at + Libc.InotifyEventBytes <= got;)
            {
                ReadOnlySpan<byte> head = _buffer.AsSpan(at);
                int length = MemoryMarshal.Read<int>(head[12..]);
                ReadOnlySpan<byte> name = head.Slice(Libc.InotifyEventBytes, length);
                int end = name.IndexOf((byte)0);
                take(MemoryMarshal.Read<int>(head), MemoryMarshal.Read<uint>(head[4..]),
                    KernelText.Decode(end < 0 ? name : name[..end]));
                at += Libc.InotifyEventBytes + length;
            }
        }
    }

    public void Dispose() => Descriptor.Dispose();
}
