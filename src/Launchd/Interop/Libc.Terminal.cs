using System.Runtime.InteropServices;

// Structs keep the kernel's names, which are lower case.
#pragma warning disable CS8981

namespace Launchd.Interop;

// ioctl_tty(2), pts(4), termios(3). Constants are those of x86-64 and arm64, which agree.
internal static unsafe partial class Libc
{
    public const nuint TCGETS = 0x5401;
    public const nuint TCSETS = 0x5402;

    /// <summary>As TCSETS, when all output has gone out, and throws away what was typed and not read.</summary>
    public const nuint TCSETSF = 0x5404;
    public const nuint TIOCSCTTY = 0x540E;
    public const nuint TIOCGWINSZ = 0x5413;
    public const nuint TIOCSWINSZ = 0x5414;

    /// <summary>Whether the other end of a new pseudo-terminal may be opened.</summary>
    public const nuint TIOCSPTLCK = 0x40045431;

    /// <summary>Linux 4.13: opens the other end of a pseudo-terminal without a path.</summary>
    public const nuint TIOCGPTPEER = 0x5441;

    public const uint IUTF8 = 0x4000;
    public const uint IXON = 0x400;

    // ioctl(2) is variadic in C; with one argument the registers are the same on x86-64 and arm64 Linux.
    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    public static partial int terminal_call(int fd, nuint operation, nint argument);

    [LibraryImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    public static partial int terminal_call(int fd, nuint operation, void* argument);

    /// <summary>The kernel's structure, not that of libc.</summary>
    [StructLayout(LayoutKind.Sequential)]
    internal struct termios
    {
        public uint c_iflag;
        public uint c_oflag;
        public uint c_cflag;
        public uint c_lflag;
        public byte c_line;
        public fixed byte c_cc[19];
    }

    [StructLayout(LayoutKind.Sequential)]
    internal struct winsize
    {
        public ushort ws_row;
        public ushort ws_col;
        public ushort ws_xpixel;
        public ushort ws_ypixel;
    }
}
