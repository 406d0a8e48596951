namespace Launchd.Cli.Verbs;

/// <summary>
/// What a program has changed of the screen that it writes to (ECMA-48, and the private modes of xterm), so that it can be taken back when
/// the program is not shown any more.
/// </summary>
internal sealed class ScreenModes
{
    private const byte Escape = 0x1b, ShiftOut = 0x0e;

    /// <summary>Most modes of one sequence that are looked at, and the highest number that is told from others.</summary>
    private const int MostModes = 16, HighestMode = 9999;

    /// <summary>
    /// The characters of ASCII; by a soft reset also the whole screen as scroll region, its corner as origin, and overwriting. Then plain
    /// text, lines that wrap, a visible cursor, no reports of the mouse, no brackets around what is pasted, ordinary cursor keys.
    /// </summary>
    private const string Ordinary = "\x0f\e(B\e[!p\e[0m\e[?7h\e[?25h\e[?1000l\e[?1002l\e[?1003l\e[?1004l\e[?1005l\e[?1006l"
        + "\e[?1015l\e[?1016l\e[?2004l\e[?1l\e>";

    private readonly List<int> _modes = [];
    private Place _place;
    private int _number;
    private bool _isChanged;

    /// <summary>The mode by which the other screen was chosen; 0: it was not.</summary>
    private int _alternate;

    private enum Place { Text, AfterEscape, InSequence, InPrivateModes }

    /// <summary>
    /// What is written to take it back. The other screen is left first: that moves the cursor to where it was, which a soft reset forgets.
    /// </summary>
    public string Undone => (_alternate > 0 ? $"\e[?{_alternate}l" : "") + (_isChanged ? Ordinary : "");

    /// <summary>Takes the next piece of output; a sequence may go on from one piece to the next.</summary>
    public void Note(ReadOnlySpan<byte> output)
    {
        foreach (byte next in output)
        {
            _isChanged |= next is Escape or ShiftOut;
            _place = next == Escape ? Place.AfterEscape : After(next);
        }
    }

    private Place After(byte next)
    {
        switch (_place)
        {
            case Place.AfterEscape when next == '[':
                return Place.InSequence;
            case Place.InSequence when next == '?':
                _modes.Clear();
                _number = 0;
                return Place.InPrivateModes;
            case Place.InPrivateModes when next is >= (byte)'0' and <= (byte)'9':
                _number = Math.Min(HighestMode + 1, (_number * 10) + next - '0');
                return Place.InPrivateModes;
            case Place.InPrivateModes when next is (byte)';' or (byte)'h' or (byte)'l':
                if (_modes.Count < MostModes)
                    _modes.Add(_number);
                _number = 0;
                if (next == ';')
                    return Place.InPrivateModes;
                foreach (int mode in _modes)
                {
                    if (mode is 47 or 1047 or 1049)
                        _alternate = next == 'h' ? mode : 0;
                }
                return Place.Text;
            default:
                return Place.Text;
        }
    }
}
