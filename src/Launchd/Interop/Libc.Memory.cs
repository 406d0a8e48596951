using System.Runtime.InteropServices;

namespace Launchd.Interop;

// memfd_create(2), fcntl(2), sendfile(2): constants that Tmds.LibC (2020) lacks.
internal static unsafe partial class Libc
{
    /// <summary>Linux 6.3; not executable, and nobody can make it so. Implies MFD_ALLOW_SEALING.</summary>
    public const uint MFD_NOEXEC_SEAL = 0x8;

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint sendfile(int to, int from, long* offset, nuint count);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int munmap(void* address, nuint length);

    /// <summary>fallocate(2): gives the memory of a part of a file back; what is read there afterwards is zero.</summary>
    public const int FALLOC_FL_PUNCH_HOLE_KEEP_SIZE = 0x3;

    [LibraryImport("libc", SetLastError = true)]
    public static partial int fallocate(int fd, int mode, nint offset, nint length);

    [LibraryImport("libc", SetLastError = true)]
    public static partial nint pwrite(int fd, void* buffer, nuint count, nint offset);

    [LibraryImport("libc", SetLastError = true)]
    public static partial int memfd_create(byte* name, uint flags);
}
