using System.Runtime.InteropServices;
using Launchd.AcceptanceTests.Support;
using Launchd.Client.Interop;

namespace Launchd.Client.Tests.Support;

/// <summary>What tests ask the kernel beside the library.</summary>
internal static unsafe partial class Kernel
{
    private const int KCMP_FILE = 0;
    private static readonly nint SYS_kcmp = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 312 : 272;
    private static int _nextBlock;

    /// <summary>A close-on-exec copy.</summary>
    public static int Duplicate(SafeHandle handle, int lowest = 3)
    {
        using var borrowed = new Borrowed(handle);
        int number = ClientLibc.fcntl(borrowed.Number, ClientLibc.F_DUPFD_CLOEXEC, lowest);
        Xunit.Assert.True(number >= 0);
        return number;
    }

    /// <summary>A copy without close-on-exec, at exactly this number.</summary>
    public static void Place(SafeHandle handle, int number)
    {
        using var borrowed = new Borrowed(handle);
        Xunit.Assert.Equal(number, dup2(borrowed.Number, number));
    }

    /// <summary>Sixteen numbers that nobody uses: the kernel gives the lowest that is free, which is far below.</summary>
    public static int FreeBlock() => 1_000 + 16 * Interlocked.Increment(ref _nextBlock);

    public static bool IsOpen(int number) => ClientLibc.fcntl(number, ClientLibc.F_GETFD, 0) >= 0;

    public static bool IsCloseOnExec(int number) => ClientLibc.fcntl(number, ClientLibc.F_GETFD, 0) == ClientLibc.FD_CLOEXEC;

    /// <summary>Whether both are one open file description, kcmp(2).</summary>
    public static bool IsSameFile(int first, int second) =>
        kcmp(SYS_kcmp, Environment.ProcessId, Environment.ProcessId, KCMP_FILE, first, second) == 0;

    /// <summary>Libraries aside, which come when they are first needed.</summary>
    public static int OwnDescriptorCount() => Directory.GetFileSystemEntries("/proc/self/fd").Count(f => !DescriptorLinks.IsLibrary(f));

    public static ulong Inode(int number)
    {
        Xunit.Assert.Equal(Errno.None, DescriptorQuery.Status(number, out ClientLibc.statx_result status));
        return status.stx_ino;
    }

    public static Errno SetOption(SafeHandle socket, int option, int value)
    {
        using var borrowed = new Borrowed(socket);
        return ClientLibc.setsockopt(borrowed.Number, ControlMessage.SOL_SOCKET, option, &value, sizeof(int)) == 0
            ? Errno.None
            : Errno.Last;
    }

    [LibraryImport("libc", SetLastError = true)]
    public static partial int dup2(int from, int to);

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    private static partial nint kcmp(nint number, nint firstPid, nint secondPid, nint type, nint first, nint second);
}
