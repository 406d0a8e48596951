using System.Buffers.Text;
using System.Text;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Interop;
using Launchd.Linux.Calls;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Paths;

/// <summary>File calls with text instead of pointers: an owned descriptor or null, and the error number. EINTR is retried.</summary>
internal static unsafe class Files
{
    /// <summary>openat(2) with O_CLOEXEC. Relative names start at <paramref name="directory"/>, which is borrowed (null: absolute
    /// only).</summary>
    public static FileDescriptor? Open(FileDescriptor? directory, string name, int flags, int mode, out Errno refused)
    {
        fixed (byte* path = CString.From(name))
        {
            while (true)
            {
                int number = openat(directory?.Number ?? AT_FDCWD, path, flags | O_CLOEXEC, (ushort)mode);
                refused = number < 0 ? Errno.Last : Errno.None;
                if (number >= 0)
                    return new FileDescriptor(number);
                if (refused != Errno.EINTR)
                    return null;
            }
        }
    }

    /// <summary>The file itself, symbolic links not followed in the last component: no access to its content, O_PATH.</summary>
    public static FileDescriptor? OpenNode(FileDescriptor directory, string name, out Errno refused) =>
        Open(directory, name, O_PATH | O_NOFOLLOW, 0, out refused);

    /// <summary>The same by a path, links followed.</summary>
    public static FileDescriptor? OpenNode(string path, out Errno refused) => Open(null, path, O_PATH, 0, out refused);

    public static Errno Unlink(FileDescriptor directory, string name, bool isDirectory = false)
    {
        fixed (byte* path = CString.From(name))
            return Check(unlinkat(directory.Number, path, isDirectory ? AT_REMOVEDIR : 0));
    }

    /// <summary>renameat2(2) within one directory.</summary>
    public static Errno Rename(FileDescriptor directory, string from, string to, uint flags)
    {
        fixed (byte* old = CString.From(from), place = CString.From(to))
            return Check(Libc.renameat2(directory.Number, old, directory.Number, place, flags));
    }

    /// <summary>linkat(2): a second name for what has one; a symbolic link is not followed. EXDEV: it lies in another mount.</summary>
    public static Errno Link(FileDescriptor from, string name, FileDescriptor to, string newName)
    {
        fixed (byte* old = CString.From(name), place = CString.From(newName))
            return Check(linkat(from.Number, old, to.Number, place, 0));
    }

    public static Errno MakeDirectory(FileDescriptor directory, string name, int mode)
    {
        fixed (byte* path = CString.From(name))
            return Check(mkdirat(directory.Number, path, (ushort)mode));
    }

    public static Errno MakeFifo(FileDescriptor directory, string name, int mode)
    {
        fixed (byte* path = CString.From(name))
            return Check(mkfifoat(directory.Number, path, (ushort)mode));
    }

    public static Errno MakeSymlink(string target, FileDescriptor directory, string name)
    {
        fixed (byte* to = CString.From(target))
        fixed (byte* path = CString.From(name))
            return Check(symlinkat(to, directory.Number, path));
    }

    /// <summary>The text of a symbolic link, null when it is none or cannot be read.</summary>
    public static string? ReadLink(FileDescriptor? directory, string name)
    {
        const int room = 4096;
        byte* text = stackalloc byte[room];
        fixed (byte* path = CString.From(name))
        {
            long length = readlinkat(directory?.Number ?? AT_FDCWD, path, text, room);
            return length < 0 ? null : KernelText.Decode(new ReadOnlySpan<byte>(text, (int)length));
        }
    }

    /// <summary>A directory itself, to read and to change: a link is not followed.</summary>
    public static FileDescriptor? OpenDirectory(FileDescriptor parent, string name, out Errno refused) =>
        Open(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, out refused);

    /// <summary>A file to read and write, which is made if it is missing; a link is not followed.</summary>
    public static FileDescriptor? OpenOrMake(FileDescriptor directory, string name, int mode, out Errno refused) =>
        Open(directory, name, O_RDWR | O_CREAT | O_NOFOLLOW, mode, out refused);

    /// <summary>A file to read and write that is there; a link is not followed. Never waits.</summary>
    public static FileDescriptor? OpenToChange(FileDescriptor directory, string name, out Errno refused) =>
        Open(directory, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0, out refused);

    /// <summary>A new file to read and write; EEXIST: something has the name.</summary>
    public static FileDescriptor? Make(FileDescriptor directory, string name, int mode, out Errno refused) =>
        Open(directory, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, mode, out refused);

    /// <summary>
    /// A file to append to, which is made if it is missing; a link is not followed. Never waits: a FIFO without a reader is refused.
    /// </summary>
    /// <param name="directory">Where it lies.</param>
    /// <param name="name">Without a slash.</param>
    /// <param name="mode">Permission bits of a file that is made, less the umask.</param>
    /// <param name="isMade">Whether this call made it.</param>
    /// <param name="refused">Why it is null.</param>
    public static FileDescriptor? OpenToAppend(FileDescriptor directory, string name, int mode, out bool isMade, out Errno refused)
    {
        int flags = O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY;
        // Others make and remove files there at the same time, but not for ever.
        for (int attempt = 1; ; attempt++)
        {
            isMade = false;
            FileDescriptor? file = Open(directory, name, flags, 0, out refused);
            if (file is not null || refused != Errno.ENOENT)
                return file;
            isMade = true;
            file = Open(directory, name, flags | O_CREAT | O_EXCL, mode, out refused);
            if (file is not null || refused != Errno.EEXIST || attempt == FileOpener.CreateAttemptCount)
                return file;
        }
    }

    /// <summary>A directory to read. Null: there is none, or it may not be read.</summary>
    public static FileDescriptor? OpenDirectory(string path) => Open(null, path, O_RDONLY | O_DIRECTORY, 0, out _);

    /// <summary>The names in a directory of /proc that are numbers, in the kernel's order.</summary>
    public static IEnumerable<int> Numbers(FileDescriptor directory)
    {
        // Most processes have few descriptors and few threads, and thousands of these directories are read one after the other.
        byte[] buffer = new byte[1024];
        for (int length = ReadEntries(directory, buffer); length > 0; length = ReadEntries(directory, buffer = Larger(buffer)))
        {
            for (int at = 0; at + NameOffset < length; at += LengthOfEntry(buffer, at))
            {
                if (Utf8Parser.TryParse(buffer.AsSpan(at + NameOffset, length - at - NameOffset), out int number, out int used)
                    && buffer[at + NameOffset + used] == 0)
                {
                    yield return number;
                }
            }
        }
    }

    /// <summary>The names in a directory that is open for reading, from its present position on, without <c>.</c> and <c>..</c>.</summary>
    public static IEnumerable<string> Names(FileDescriptor directory)
    {
        byte[] buffer = new byte[8192];
        for (int length = ReadEntries(directory, buffer); length > 0; length = ReadEntries(directory, buffer))
        {
            for (int at = 0; at + NameOffset < length; at += LengthOfEntry(buffer, at))
            {
                ReadOnlySpan<byte> name = buffer.AsSpan(at + NameOffset, length - at - NameOffset);
                string text = KernelText.Decode(name[..name.IndexOf((byte)0)]);
                if (text is not ("." or ".."))
                    yield return text;
            }
        }
    }

    // struct linux_dirent64 (getdents(2)): inode and offset, 8 bytes each, length of the record, kind, and the name with a NUL behind.
    private const int NameOffset = 19;

    private static byte[] Larger(byte[] buffer) => buffer.Length < 8192 ? new byte[8192] : buffer;

    private static int LengthOfEntry(byte[] buffer, int at) => BitConverter.ToUInt16(buffer, at + 16);

    private static int ReadEntries(FileDescriptor directory, byte[] buffer)
    {
        fixed (byte* start = buffer)
            return (int)Libc.syscall(SystemCallNumbers.getdents64, directory.Number, (nint)start, buffer.Length, 0, 0, 0);
    }

    public static Errno SetMode(FileDescriptor file, int mode) => Check(fchmod(file.Number, (ushort)mode));

    /// <summary>Mode of an O_PATH descriptor, which fchmod(2) refuses.</summary>
    public static Errno SetNodeMode(FileDescriptor node, int mode)
    {
        fixed (byte* path = CString.From(ProcPath(node)))
            return Check(fchmodat(AT_FDCWD, path, (ushort)mode, 0));
    }

    /// <summary>Sets the owner of the file behind any descriptor, also of O_PATH; a part that is null stays as it is.</summary>
    public static Errno SetOwner(FileDescriptor node, PathOwner owner)
    {
        if (owner.IsOwn)
            return Errno.None;
        fixed (byte* empty = "\0"u8)
            return Check(fchownat(node.Number, empty, owner.Uid ?? uint.MaxValue, owner.Gid ?? uint.MaxValue, AT_EMPTY_PATH));
    }

    public static Errno SetNonBlocking(FileDescriptor file, bool isNonBlocking)
    {
        int flags = fcntl(file.Number, F_GETFL);
        if (flags < 0)
            return Errno.Last;
        int wanted = isNonBlocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
        return wanted == flags ? Errno.None : Check(fcntl(file.Number, F_SETFL, wanted));
    }

    /// <summary>The name under which this process can reach the file behind a descriptor, proc_pid_fd(5).</summary>
    public static string ProcPath(FileDescriptor descriptor) => $"/proc/self/fd/{descriptor.Number}";

    /// <summary>
    /// Text of a file in /proc or /sys, or of another short one; null when it cannot be read. Longer ones are cut at
    /// <paramref name="maxBytes"/>.
    /// </summary>
    public static string? ReadText(string path, int maxBytes = 64 * 1024)
    {
        using FileDescriptor? file = OpenToRead(path, out _);
        return file is not null && ReadBytes(file, maxBytes, out _) is { } bytes ? Encoding.UTF8.GetString(bytes) : null;
    }

    /// <summary>
    /// Opens a file for reading without ever waiting, neither for the other end of a FIFO nor for the carrier of a terminal.
    /// </summary>
    public static FileDescriptor? OpenToRead(string path, out Errno refused) =>
        Open(null, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, out refused);

    /// <summary>The content of a file from its position on, at most so many bytes. Null: it cannot be read.</summary>
    public static byte[]? ReadBytes(FileDescriptor file, int maxBytes, out Errno refused)
    {
        refused = Errno.None;
        byte[] bytes = new byte[Math.Min(maxBytes, 4096)];
        int length = 0;
        while (length < maxBytes)
        {
            if (length == bytes.Length)
                Array.Resize(ref bytes, Math.Min(bytes.Length * 2, maxBytes));
            nint got;
            fixed (byte* start = bytes)
                got = Libc.read(file.Number, start + length, (nuint)(bytes.Length - length));
            if (got < 0 && Errno.Last == Errno.EINTR)
                continue;
            if (got < 0)
            {
                refused = Errno.Last;
                return null;
            }
            if (got == 0)
                break;
            length += (int)got;
        }
        return length == bytes.Length ? bytes : bytes[..length];
    }

    /// <summary>Another number for the same open file description, close-on-exec. Null with the reason.</summary>
    /// <param name="descriptor">Borrowed.</param>
    /// <param name="closer">Closes the duplicate in the end; null: the thread that disposes it does.</param>
    /// <param name="refused">The reason.</param>
    public static FileDescriptor? Duplicate(FileDescriptor descriptor, IDescriptorCloser? closer, out Errno refused)
    {
        int number = fcntl(descriptor.Number, F_DUPFD_CLOEXEC, 0);
        refused = number < 0 ? Errno.Last : Errno.None;
        return number < 0 ? null : new FileDescriptor(number, closer);
    }

    private static Errno Check(int result) => result < 0 ? Errno.Last : Errno.None;
}
