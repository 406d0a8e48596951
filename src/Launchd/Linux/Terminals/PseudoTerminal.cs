using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Terminals;

/// <summary>
/// A new pseudo-terminal, pty(7). Both ends are close-on-exec, and neither becomes the terminal of this process. Whoever makes one owns
/// both ends.
/// </summary>
/// <param name="Master">Non-blocking. When it is closed, the session of the terminal gets SIGHUP, and the other end is dead.</param>
/// <param name="Slave">The end for a program.</param>
internal readonly unsafe record struct PseudoTerminal(FileDescriptor Master, FileDescriptor Slave) : IDisposable
{
    public const int DefaultColumns = 80, DefaultRows = 24;

    private const int O_RDWR = 2;
    private const string Subject = "cannot make a pseudo-terminal";

    /// <summary>
    /// Opens one of 80 columns and 24 rows. It is as the kernel makes it, but erases whole characters of UTF-8, and Ctrl-S does not stop
    /// its output: nobody may be there to type Ctrl-Q.
    /// </summary>
    /// <param name="owner">The user who may open the program's end by its path; null: this process's own.</param>
    public static OpenResult<PseudoTerminal> Open(uint? owner)
    {
        const int Flags = O_RDWR | Libc.O_NOCTTY | Libc.O_CLOEXEC;
        if (Files.Open(null, "/dev/ptmx", Flags | Libc.O_NONBLOCK, 0, out Errno refused) is not { } master)
            return new OpenFailure("open", $"{Subject}: /dev/ptmx", refused, Remedy(refused));
        int unlocked = 0;
        if (Libc.terminal_call(master.Number, Libc.TIOCSPTLCK, &unlocked) != 0)
            return Fail(master, "TIOCSPTLCK");
        // Not by its path: /dev/pts may be another one here, or none.
        int number = Libc.terminal_call(master.Number, Libc.TIOCGPTPEER, (nint)Flags);
        if (number < 0)
            return Fail(master, "TIOCGPTPEER");
        FileDescriptor slave = new(number);
        string? failed = owner is { } uid && Libc.fchown(number, uid, uint.MaxValue) != 0 ? "fchown"
            : !TrySetModes(number) ? "TCSETS"
            : !TryResize(master, DefaultColumns, DefaultRows) ? "TIOCSWINSZ" : null;
        if (failed is null)
            return new PseudoTerminal(master, slave);
        OpenFailure failure = Fail(master, failed);
        slave.Dispose();
        return failure;
    }

    /// <summary>
    /// Tells a terminal how large it is shown. If that is another size, its foreground group gets SIGWINCH. False: the kernel refuses.
    /// </summary>
    public static bool TryResize(FileDescriptor master, int columns, int rows)
    {
        Libc.winsize size = new() { ws_col = (ushort)columns, ws_row = (ushort)rows };
        return Libc.terminal_call(master.Number, Libc.TIOCSWINSZ, &size) == 0;
    }

    public void Dispose()
    {
        Slave.Dispose();
        Master.Dispose();
    }

    private static bool TrySetModes(int slave)
    {
        Libc.termios modes;
        if (Libc.terminal_call(slave, Libc.TCGETS, &modes) != 0)
            return false;
        modes.c_iflag = (modes.c_iflag | Libc.IUTF8) & ~Libc.IXON;
        return Libc.terminal_call(slave, Libc.TCSETS, &modes) == 0;
    }

    private static OpenFailure Fail(FileDescriptor masterTaken, string call)
    {
        Errno refused = Errno.Last;
        masterTaken.Dispose();
        return new OpenFailure(call, $"{Subject}: {call}", refused);
    }

    private static string? Remedy(Errno refused) =>
        refused == Errno.ENOSPC ? "there are as many as there may be: raise kernel.pty.max, or the option max of the mount of /dev/pts"
        : refused == Errno.ENOENT || refused == Errno.ENODEV || refused == Errno.ENXIO ? "mount devpts at /dev/pts"
        : null;
}
