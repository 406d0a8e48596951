using System.Globalization;

namespace Launchd.Logs;

/// <summary>
/// What a person reads of a line that was written for a terminal (ECMA-48): without colours, links, titles, and with what was written over
/// by a redraw. The work is linear in the length of the line, whatever stands in it.
/// </summary>
internal static class VisibleText
{
    private const char Escape = '\e', Bell = '\a', ControlSequence = '\u009b', StringEnd = '\u009c';

    /// <summary>
    /// The texts that the line showed one after the other: what stood between two carriage returns, and what is seen at its end.
    /// </summary>
    /// <returns>Empty: the line has no control characters but tabs, and reads as it is.</returns>
    public static IReadOnlyList<string> Of(ReadOnlySpan<char> line)
    {
        int first = 0;
        while (first < line.Length && (!char.IsControl(line[first]) || line[first] == '\t'))
            first++;
        if (first == line.Length)
            return [];
        Screen screen = new(line.Length);
        for (int at = 0; at < line.Length;)
            at = Take(line, at, screen);
        return screen.Texts();
    }

    /// <summary>Takes one character or control sequence, and returns where the next begins.</summary>
    private static int Take(ReadOnlySpan<char> line, int at, Screen screen)
    {
        char next = line[at++];
        switch (next)
        {
            case '\r':
                screen.Return();
                return at;
            case '\b':
                screen.Move(-1);
                return at;
            case ControlSequence:
                return Sequence(line, at, screen);
            case '\u0090' or '\u0098' or '\u009d' or '\u009e' or '\u009f':
                return EndOfString(line, at);
            case Escape when at < line.Length:
                return AfterEscape(line, at, screen);
            default:
                if (!char.IsControl(next) || next == '\t')
                    screen.Write(next);
                return at;
        }
    }

    private static int AfterEscape(ReadOnlySpan<char> line, int at, Screen screen)
    {
        switch (line[at])
        {
            case '[':
                return Sequence(line, at + 1, screen);
            case ']' or 'P' or 'X' or '^' or '_':
                return EndOfString(line, at + 1);
            default:
                while (at < line.Length && line[at] is >= ' ' and <= '/')
                    at++;
                return Math.Min(at + 1, line.Length);
        }
    }

    private static int Sequence(ReadOnlySpan<char> line, int at, Screen screen)
    {
        int start = at;
        while (at < line.Length && line[at] is >= ' ' and <= '?')
            at++;
        if (at == line.Length)
            return at;
        if (line[at] is < '@' or > '~')
            return at; // broken off by something else, which counts
        int number = int.TryParse(line[start..at], NumberStyles.None, CultureInfo.InvariantCulture, out int read) ? read : -1;
        screen.Do(line[at], number);
        return at + 1;
    }

    private static int EndOfString(ReadOnlySpan<char> line, int at)
    {
        for (; at < line.Length; at++)
        {
            if (line[at] is Bell or StringEnd)
                return at + 1;
            if (line[at] == Escape && at + 1 < line.Length && line[at + 1] == '\\')
                return at + 2;
        }
        return at;
    }

    /// <summary>One line of a terminal, as wide as it must be.</summary>
    private sealed class Screen(int length)
    {
        private readonly char[] _cells = new char[length + 256];
        private readonly char[] _written = new char[length];
        private readonly List<int> _returns = [];
        private int _count, _length, _column;

        // Blanks that may still be written. A few characters can ask for a whole row of them, so a line that asks for far more than a
        // display of its length does gets no more, and reads as if it had not moved and erased.
        private int _blanks = (16 * length) + 4096;

        public void Write(char character)
        {
            _written[_count++] = character;
            if (_column >= _cells.Length)
                return;
            if (_column > _length && !TryBlank(_length, _column))
                _column = _length;
            _cells[_column++] = character;
            _length = Math.Max(_length, _column);
        }

        public void Return()
        {
            _column = 0;
            _returns.Add(_count);
        }

        public void Move(int columns) => _column = Math.Clamp(_column + columns, 0, _cells.Length);

        /// <param name="function">The last character of the control sequence.</param>
        /// <param name="number">Its only number; -1: it has none, or several.</param>
        public void Do(char function, int number)
        {
            switch (function)
            {
                case 'C': Move(Math.Clamp(number, 1, _cells.Length)); break;
                case 'D': Move(-Math.Clamp(number, 1, _cells.Length)); break;
                case 'G': _column = Math.Clamp(number - 1, 0, _cells.Length); break;
                case 'K' or 'J' when number is 2 or 3: _length = 0; break;
                case 'K' or 'J' when number == 1: _ = TryBlank(0, Math.Min(_column, _length)); break;
                case 'K' or 'J': _length = Math.Min(_length, _column); break;
            }
        }

        private bool TryBlank(int from, int to)
        {
            if (to - from > _blanks)
                return false;
            _blanks -= to - from;
            _cells.AsSpan(from..to).Fill(' ');
            return true;
        }

        public List<string> Texts()
        {
            List<string> texts = [];
            int from = 0;
            foreach (int to in _returns.Append(_count))
            {
                if (to > from)
                    texts.Add(new string(_written, from, to - from));
                from = to;
            }
            string last = new string(_cells, 0, _length).TrimEnd();
            if (!texts.Contains(last))
                texts.Add(last);
            return texts;
        }
    }
}
