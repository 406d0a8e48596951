using Launchd.Interop;

namespace Launchd.Linux.Terminals;

/// <summary>
/// A terminal that hands on every key as it was typed and shows every byte as it comes, termios(3). It is as it was before once this is
/// disposed, or whenever <see cref="Leave"/> is called, from any thread.
/// </summary>
internal sealed unsafe class RawMode : IDisposable
{
    private const uint IGNBRK = 0x1, BRKINT = 0x2, PARMRK = 0x8, ISTRIP = 0x20, INLCR = 0x40, IGNCR = 0x80, ICRNL = 0x100;
    private const uint OPOST = 0x1;
    private const uint CSIZE = 0x30, CS8 = 0x30, PARENB = 0x100;
    private const uint ISIG = 0x1, ICANON = 0x2, ECHO = 0x8, ECHONL = 0x40, IEXTEN = 0x8000;
    private const int VTIME = 5, VMIN = 6;

    private readonly int _number;
    private readonly Libc.termios _before;
    private readonly Libc.termios _raw;

    private RawMode(int number, in Libc.termios before)
    {
        _number = number;
        _before = _raw = before;
        _raw.c_iflag &= ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | Libc.IXON);
        _raw.c_oflag &= ~OPOST;
        _raw.c_cflag = (_raw.c_cflag & ~(CSIZE | PARENB)) | CS8;
        _raw.c_lflag &= ~(ISIG | ICANON | ECHO | ECHONL | IEXTEN);
        _raw.c_cc[VMIN] = 1;
        _raw.c_cc[VTIME] = 0;
    }

    /// <summary>Makes a terminal raw. Null: the descriptor is no terminal, or its modes cannot be changed.</summary>
    public static RawMode? TryEnter(int number)
    {
        Libc.termios before;
        if (Libc.terminal_call(number, Libc.TCGETS, &before) != 0)
            return null;
        RawMode mode = new(number, before);
        return mode.Enter() ? mode : null;
    }

    /// <summary>Columns and rows of the terminal of a descriptor. Null: it is none, or its size is not known.</summary>
    public static (int Columns, int Rows)? SizeOf(int number)
    {
        Libc.winsize size;
        return Libc.terminal_call(number, Libc.TIOCGWINSZ, &size) == 0 && size is { ws_col: > 0, ws_row: > 0 }
            ? (size.ws_col, size.ws_row) : null;
    }

    /// <summary>Makes it raw again after <see cref="Leave"/>. False: its modes cannot be changed.</summary>
    public bool Enter() => Set(Libc.TCSETS, _raw);

    /// <summary>Keeps what was typed and not read, and does not wait.</summary>
    public void Leave() => _ = Set(Libc.TCSETS, _before);

    /// <summary>
    /// As <see cref="Leave"/>, but throws away what was typed and not read: a terminal answers questions in what is shown as if its user
    /// typed, and a shell would take the answer for a command. Waits until what was written is shown.
    /// </summary>
    public void LeaveAndDiscard() => _ = Set(Libc.TCSETSF, _before);

    public void Dispose() => Leave();

    private bool Set(nuint operation, Libc.termios modes) => Libc.terminal_call(_number, operation, &modes) == 0;
}
