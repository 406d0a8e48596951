using System.Runtime.InteropServices;

namespace Launchd.Interop;

// open(2), read(2), write(2), mq_open(3)
internal static unsafe partial class Libc
{
    /// <summary>mq_open(2): libc has it in librt on older systems, so by number.</summary>
    public static int SYS_mq_open => RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 180 : 240;

    /// <summary>mq_unlink(2).</summary>
    public static int SYS_mq_unlink => RuntimeInformation.ProcessArchitecture == Architecture.Arm64 ? 181 : 241;

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint read(int fd, void* buf, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint write(int fd, void* buf, nuint count);

    [LibraryImport("libc", EntryPoint = "syscall", SetLastError = true)]
    public static partial nint mq_call(nint number, byte* name, nint oflag, nint mode, void* attr);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint pread(int fd, void* buffer, nuint count, nint offset);
}
