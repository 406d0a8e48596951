using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;

namespace Launchd.Logs;

/// <summary>The kind and place of a file: two descriptors with equal identity are of the same pipe, terminal or file.</summary>
/// <param name="Type">The <c>S_IFMT</c> bits of its mode, inode(7).</param>
/// <param name="Device">Of the file system; for a device file, the device itself.</param>
/// <param name="Inode">Number within it.</param>
/// <param name="SizeBytes">For a regular file; else 0.</param>
internal readonly record struct FileIdentity(int Type, ulong Device, ulong Inode, long SizeBytes)
{
    public bool IsRegularFile => Type == Libc.S_IFREG;
}

/// <summary>
/// The pump's kernel calls: repeated after EINTR, failures returned as an <see cref="Errno"/> because every one of them is expected
/// somewhere (a closed terminal, a full disk). Counts are in bytes.
/// </summary>
internal static unsafe class PumpCalls
{
    public static int Read(int number, Span<byte> buffer, out Errno error)
    {
        nint count;
        do
        {
            fixed (byte* at = buffer)
                count = Libc.read(number, at, (nuint)buffer.Length);
            error = count < 0 ? Errno.Last : Errno.None;
        }
        while (error == Errno.EINTR);
        return (int)count;
    }

    public static int Write(int number, ReadOnlySpan<byte> bytes, out Errno error)
    {
        nint count;
        do
        {
            fixed (byte* at = bytes)
                count = Libc.write(number, at, (nuint)bytes.Length);
            error = count < 0 ? Errno.Last : Errno.None;
        }
        while (error == Errno.EINTR);
        return (int)count;
    }

    /// <summary>send(2) that neither waits nor raises SIGPIPE, whatever the flags of the shared description say.</summary>
    public static int Send(int number, ReadOnlySpan<byte> bytes, out Errno error)
    {
        nint count;
        do
        {
            count = Libc.send(number, in MemoryMarshal.GetReference(bytes), (nuint)bytes.Length, Libc.MSG_DONTWAIT | Libc.MSG_NOSIGNAL);
            error = count < 0 ? Errno.Last : Errno.None;
        }
        while (error == Errno.EINTR);
        return (int)count;
    }

    /// <summary>Whether a write would go through, waiting at most <paramref name="milliseconds"/> for it.</summary>
    public static bool IsWritable(int number, int milliseconds)
    {
        var entry = new Libc.poll_entry { fd = number, events = Libc.POLLOUT };

        // A signal only shortens the wait: the caller asks again. POLLERR and POLLHUP count as writable, the write then says why.
        return Libc.poll(ref entry, 1, milliseconds) > 0;
    }

    /// <summary>
    /// Waits until a write would go through, or the other descriptor is readable. True: the other descriptor is readable.
    /// </summary>
    public static bool WaitWritable(int number, int other)
    {
        Span<Libc.poll_entry> entries =
        [
            new() { fd = number, events = Libc.POLLOUT },
            new() { fd = other, events = Libc.POLLIN },
        ];
        _ = Libc.poll(ref entries[0], 2, -1);
        return entries[1].revents != 0;
    }

    /// <summary>Opens close-on-exec and never as controlling terminal. Null: refused, see <paramref name="error"/>.</summary>
    public static FileDescriptor? Open(string path, int flags, int mode, out Errno error)
    {
        byte[] name = Terminated(path);
        int number;
        do
        {
            number = Libc.open(in name[0], flags | Libc.O_CLOEXEC | Libc.O_NOCTTY, mode);
            error = number < 0 ? Errno.Last : Errno.None;
        }
        while (error == Errno.EINTR);
        return number < 0 ? null : new FileDescriptor(number);
    }

    /// <summary>A second number for the same description, close-on-exec and not below 3.</summary>
    public static FileDescriptor? Duplicate(int number, out Errno error)
    {
        int copy = (int)Libc.fcntl(number, Libc.F_DUPFD_CLOEXEC, 3);
        error = copy < 0 ? Errno.Last : Errno.None;
        return copy < 0 ? null : new FileDescriptor(copy);
    }

    public static Errno SetNonBlocking(int number)
    {
        int flags = Libc.fcntl(number, Libc.F_GETFL, 0);
        return flags < 0 || Libc.fcntl(number, Libc.F_SETFL, flags | Libc.O_NONBLOCK) < 0 ? Errno.Last : Errno.None;
    }

    /// <summary>How much can be read now, 0 where the kernel does not tell.</summary>
    public static int ReadableBytes(int number)
    {
        int count = 0;
        return Libc.ioctl(number, Libc.FIONREAD, ref count) < 0 ? 0 : count;
    }

    public static FileIdentity? Identify(int number)
    {
        byte empty = 0;
        var status = default(Libc.statx_head);
        if (Libc.statx(number, in empty, Libc.AT_EMPTY_PATH, Libc.STATX_BASIC_STATS, ref status) < 0)
            return null;
        int type = status.stx_mode & Libc.S_IFMT;
        ulong device = type == Libc.S_IFCHR ? status.stx_rdev : status.stx_dev;
        return new FileIdentity(type, device, status.stx_ino, type == Libc.S_IFREG ? (long)status.stx_size : 0);
    }

    public static bool IsTerminal(int number) => Libc.isatty(number) == 1;

    private static byte[] Terminated(string path)
    {
        byte[] bytes = new byte[KernelText.ByteCount(path) + 1];
        _ = KernelText.Encode(path, bytes);
        return bytes;
    }
}
