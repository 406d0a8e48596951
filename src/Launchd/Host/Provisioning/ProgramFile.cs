using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;

namespace Launchd.Host.Provisioning;

/// <summary>
/// Finds out why the kernel does not execute a file, execve(2). The kernel says ENOENT for a script whose interpreter is missing, and for a
/// program whose loader is, as if the file itself were; it says EACCES for half a dozen reasons.
/// </summary>
internal static unsafe class ProgramFile
{
    /// <summary>So much of a first line the kernel looks at: BINPRM_BUF_SIZE.</summary>
    private const int FirstLineBytes = 256;

    /// <summary>A loader is named in the first bytes of a program, behind its headers.</summary>
    public const int HeadBytes = 4096;

    /// <summary>The kernel follows so many interpreters of interpreters.</summary>
    private const int MostInterpreters = 5;

    private const int AnyExecute = 0b001_001_001;
    private const ulong ST_NOEXEC = 8;

    /// <summary>A reason for a refusal, as a clause without a subject's name, and the kernel's error.</summary>
    internal readonly record struct Fault(Errno Errno, string Text);

    /// <summary>Looks at a file that is to be executed. Null: nothing speaks against it.</summary>
    /// <param name="path">Absolute.</param>
    /// <param name="user">Who executes it; null: this process.</param>
    /// <param name="wasRefused">
    /// Whether the kernel refused it. If not, what the kernel may know how to execute is not judged (binfmt_misc).
    /// </param>
    public static Fault? FaultOf(string path, Credentials? user, bool wasRefused) => FaultOf(path, user, wasRefused, MostInterpreters);

    private static Fault? FaultOf(string path, Credentials? user, bool wasRefused, int most)
    {
        Errno hidden = FileStatus.ReadFollow(path, out FileStatus status);
        if (hidden != Errno.None)
            return new Fault(hidden, WhyNotSeen(path, hidden));
        if (status.Kind != FileKind.Regular)
            return new Fault(Errno.EACCES, $"it is {status.KindText}");
        if ((status.Mode & AnyExecute) == 0)
            return new Fault(Errno.EACCES, "it is not executable: chmod +x");
        if (wasRefused && !MayExecute(status, user))
        {
            string mode = Convert.ToString(status.Mode, 8).PadLeft(4, '0');
            return new Fault(Errno.EACCES, $"{Who(user)} may not execute it: its mode is {mode}, its owner {status.Uid}:{status.Gid}");
        }
        if (wasRefused && ClosedDirectory(path, user) is { } closed)
            return new Fault(Errno.EACCES, $"{Who(user)} may not enter the directory {closed}");
        if (IsOnNoExec(path))
            return new Fault(Errno.EACCES, "its file system is mounted with noexec");
        return Head(path, user) is { } head ? FaultOfHead(head, user, wasRefused, most) : null;
    }

    /// <summary>The same for a file of which only the beginning is known, and which the kernel refused.</summary>
    /// <param name="head">At most <see cref="HeadBytes"/>.</param>
    /// <param name="user">Who executes it; null: this process.</param>
    public static Fault? FaultOfHead(ReadOnlySpan<byte> head, Credentials? user) =>
        FaultOfHead(head, user, wasRefused: true, MostInterpreters);

    private static Fault? FaultOfHead(ReadOnlySpan<byte> head, Credentials? user, bool wasRefused, int most)
    {
        if (head.StartsWith("#!"u8))
            return FaultOfScript(head, user, wasRefused, most);
        if (head.StartsWith("\u007fELF"u8))
            return FaultOfBinary(head, user, wasRefused, most);
        return !wasRefused && HasOtherFormats() ? null : new Fault(Errno.ENOEXEC, WhyNoProgram(head));
    }

    private static Fault? FaultOfScript(ReadOnlySpan<byte> head, Credentials? user, bool wasRefused, int most)
    {
        ReadOnlySpan<byte> line = head[2..Math.Min(head.Length, FirstLineBytes)];
        int end = line.IndexOf((byte)'\n');
        bool isWhole = end >= 0 || head.Length < FirstLineBytes;
        line = (end < 0 ? line : line[..end]).Trim(" \t"u8);
        int blank = line.IndexOfAny((byte)' ', (byte)'\t', (byte)0);
        if (!isWhole && blank < 0)
            return new Fault(Errno.ENOEXEC, $"its first line is longer than the {FirstLineBytes} bytes that the kernel reads of it");
        string interpreter = KernelText.Decode(blank < 0 ? line : line[..blank]);
        if (interpreter.Length == 0 || interpreter == "\r")
            return new Fault(Errno.ENOEXEC, "its first line names no interpreter behind #!");
        if (interpreter.EndsWith('\r'))
        {
            return new Fault(Errno.ENOENT,
                $"its lines end as in files of Windows, so that the interpreter in its first line is \"{interpreter[..^1]}\\r\", "
                + "which is not there: sed -i 's/\\r$//' takes the carriage returns out");
        }
        if (FileStatus.ReadFollow(interpreter, out _) is { Value: not 0 } missing)
        {
            string remedy = interpreter[0] == '/' ? "" : "; an interpreter is named by its whole path";
            return new Fault(missing, $"its interpreter {interpreter}, which its first line names, {Absence(missing)}{remedy}");
        }
        return most == 0 || interpreter[0] != '/' ? null
            : FaultOf(interpreter, user, wasRefused, most - 1) is { } of
                ? of with { Text = $"its interpreter {interpreter} is of no use: {of.Text}" }
                : null;
    }

    // elf(5): the class is byte 4, the order of bytes byte 5, the machine a half-word at 18.
    private static Fault? FaultOfBinary(ReadOnlySpan<byte> head, Credentials? user, bool wasRefused, int most)
    {
        if (head.Length < 64)
            return new Fault(Errno.ENOEXEC, "it is cut off");
        bool is64 = head[4] == 2;
        int machine = head[5] == 2 ? BinaryPrimitives.ReadUInt16BigEndian(head[18..]) : BinaryPrimitives.ReadUInt16LittleEndian(head[18..]);
        // 3 and 40 are the 32-bit programs that x86-64 and arm64 execute, with a kernel that is built for it.
        (int own, int older) = RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? (183, 40) : (62, 3);
        if (machine != own && (machine != older || wasRefused) && (wasRefused || !HasOtherFormats()) && !HasLoaderFault(head, is64))
            return new Fault(Errno.ENOEXEC, $"it is a program for {NameOf(machine)}, and this machine is {NameOf(own)}");
        if (LoaderOf(head, is64) is not { } loader)
            return null;
        if (FileStatus.ReadFollow(loader, out _) is { Value: not 0 } missing)
        {
            return new Fault(missing,
                $"its loader {loader} {Absence(missing)}: it was built for another system (another libc, or 32 bits), "
                + "whose libc has to be installed");
        }
        return most == 0 ? null
            : FaultOf(loader, user, wasRefused, most - 1) is { } of
                ? of with { Text = $"its loader {loader} is of no use: {of.Text}" }
                : null;
    }

    // A kernel that executes 32-bit programs says ENOENT for a missing loader: then that is the reason, not the architecture.
    private static bool HasLoaderFault(ReadOnlySpan<byte> head, bool is64) =>
        !is64 && head[5] == 1 && LoaderOf(head, is64) is { } loader && FileStatus.ReadFollow(loader, out _) != Errno.None;

    private static string? LoaderOf(ReadOnlySpan<byte> head, bool is64)
    {
        if (head[5] != 1)
            return null;
        ulong table = is64 ? BinaryPrimitives.ReadUInt64LittleEndian(head[32..]) : BinaryPrimitives.ReadUInt32LittleEndian(head[28..]);
        int size = BinaryPrimitives.ReadUInt16LittleEndian(head[(is64 ? 54 : 42)..]);
        int count = BinaryPrimitives.ReadUInt16LittleEndian(head[(is64 ? 56 : 44)..]);
        // Compared alone first: the sum of a crafted number and another may be greater than there are numbers.
        if (table > (ulong)head.Length)
            return null;
        for (int i = 0; i < count && table + ((ulong)size * (ulong)(i + 1)) <= (ulong)head.Length; i++)
        {
            ReadOnlySpan<byte> entry = head.Slice((int)table + (size * i), size);
            if (entry.Length < (is64 ? 56 : 32) || BinaryPrimitives.ReadUInt32LittleEndian(entry) != 3) // PT_INTERP
                continue;
            ulong at = is64 ? BinaryPrimitives.ReadUInt64LittleEndian(entry[8..]) : BinaryPrimitives.ReadUInt32LittleEndian(entry[4..]);
            ulong length =
                is64 ? BinaryPrimitives.ReadUInt64LittleEndian(entry[32..]) : BinaryPrimitives.ReadUInt32LittleEndian(entry[16..]);
            if (length is 0 or > FirstLineBytes || at > (ulong)head.Length || at + length > (ulong)head.Length)
                return null;
            ReadOnlySpan<byte> loader = head.Slice((int)at, (int)length);
            int end = loader.IndexOf((byte)0);
            return end == 0 ? null : KernelText.Decode(end < 0 ? loader : loader[..end]);
        }
        return null;
    }

    private static string WhyNoProgram(ReadOnlySpan<byte> head) =>
        head.IsEmpty ? "it is empty"
        : head.StartsWith("\uFEFF#!"u8) ? "a byte-order mark stands before the #! of its first line: save it without one"
        : head.StartsWith("MZ"u8) ? "it is a program for Windows"
        : head.TrimStart(" \t\r\n"u8).StartsWith("#!"u8) ? "its #! does not stand at its very beginning"
        : "a script needs a first line such as #!/bin/sh";

    private static string NameOf(int machine) => machine switch
    {
        3 => "x86 of 32 bits",
        40 => "arm of 32 bits",
        62 => "x86-64",
        183 => "arm64",
        243 => "riscv",
        21 => "ppc64",
        22 => "s390x",
        _ => $"another architecture (number {machine} of elf(5))",
    };

    private static string Absence(Errno errno) => errno == Errno.ENOENT ? "is not there" : $"cannot be reached: {errno.Text}";

    // Names the first directory on the way that is not there, because that is what is wrong then.
    private static string WhyNotSeen(string path, Errno refused)
    {
        if (refused == Errno.ENOENT && Files.ReadLink(null, path) is { } target)
            return $"it is a link to {target}, where there is nothing";
        for (string? above = Path.GetDirectoryName(path); above is { Length: > 1 }; above = Path.GetDirectoryName(above))
        {
            if (FileStatus.ReadFollow(above, out FileStatus status) != Errno.None)
                continue;
            string below = path[..(path.IndexOf('/', above.Length + 1) is >= 0 and int next ? next : path.Length)];
            if (status.Kind != FileKind.Directory)
                return $"{above} is {status.KindText}";
            return below != path && refused == Errno.ENOENT ? $"there is no directory {below}" : "";
        }
        return "";
    }

    private static string Who(Credentials? user) => $"user {user?.Uid ?? Libc.geteuid()}";

    private static bool MayExecute(FileStatus file, Credentials? user)
    {
        uint uid = user?.Uid ?? Libc.geteuid();
        if (uid == 0)
            return (file.Mode & AnyExecute) != 0;
        if (file.Uid == uid)
            return (file.Mode & 0b001_000_000) != 0;
        // Of this process not all groups are known here: those that it may have are taken as its own.
        bool isOfGroup = user is null ? file.Gid == Libc.getegid() : file.Gid == user.Gid || user.Groups.Contains(file.Gid);
        return (file.Mode & (isOfGroup ? 0b000_001_000 : 0b000_000_001)) != 0
            || (user is null && (file.Mode & 0b000_001_000) != 0);
    }

    private static string? ClosedDirectory(string path, Credentials? user)
    {
        string? closed = null;
        for (string? above = Path.GetDirectoryName(path); above is not null; above = Path.GetDirectoryName(above))
        {
            if (FileStatus.ReadFollow(above, out FileStatus status) == Errno.None && !MayExecute(status, user))
                closed = above;
        }
        return closed;
    }

    private static bool IsOnNoExec(string path)
    {
        const int O_PATH = 0x200000;
        fixed (byte* name = CString.From(path))
        {
            using FileDescriptor file = new(Libc.open(ref *name, O_PATH | Libc.O_CLOEXEC, 0));
            // statfs(2): f_flags is the eleventh word on 64-bit systems.
            ulong* facts = stackalloc ulong[16];
            return !file.IsInvalid && Libc.fstatfs(file.Number, facts) == 0 && (facts[10] & ST_NOEXEC) != 0;
        }
    }

    private static byte[]? Head(string path, Credentials? user)
    {
        FileRequest request = new() { Path = path, User = user, IsNonBlocking = true };
        if (!FileOpener.Open(request).TryGet(out FileDescriptor? opened, out _))
            return null;
        using FileDescriptor file = opened;
        return Files.ReadBytes(file, HeadBytes, out _);
    }

    // Formats that an administrator has told the kernel, such as programs of other architectures.
    private static bool HasOtherFormats()
    {
        using FileDescriptor? directory = Files.OpenDirectory("/proc/sys/fs/binfmt_misc");
        return directory is not null && Files.Names(directory).Any(n => n is not ("register" or "status"));
    }
}
