namespace Launchd.Config.Sources;

/// <summary>One configuration file in memory. Offsets into <see cref="Text"/> are UTF-16 units; lines and columns count from 1.</summary>
/// <param name="filePath">Absolute path, against whose directory relative paths are resolved.</param>
/// <param name="displayPath">How diagnostics name the file.</param>
/// <param name="text">The decoded text without a byte order mark.</param>
internal sealed class SourceText(string filePath, string displayPath, string text)
{
    private int[]? _lineStarts;

    public string FilePath => filePath;
    public string DisplayPath => displayPath;
    public string Text => text;
    public string DirectoryPath { get; } = Path.GetDirectoryName(filePath) ?? "/";

    /// <summary>Line of an offset, and its column in code points, as editors count.</summary>
    public (int Line, int Column) PlaceOf(int offset)
    {
        offset = Math.Clamp(offset, 0, text.Length);
        int line = LineIndexOf(offset);
        int column = 1;
        for (int i = LineStarts[line]; i < offset; i++)
        {
            if (!char.IsLowSurrogate(text[i]))
                column++;
        }

        return (line + 1, column);
    }

    /// <summary>Where the line around an offset begins and ends, without its line break.</summary>
    public (int Start, int End) LineAround(int offset)
    {
        int line = LineIndexOf(Math.Clamp(offset, 0, text.Length));
        int start = LineStarts[line];
        int end = line + 1 < LineStarts.Length ? LineStarts[line + 1] - 1 : text.Length;
        return (start, end > start && text[end - 1] == '\r' ? end - 1 : end);
    }

    // Found only when something has to be reported, so that a clean boot need not count lines.
    private int[] LineStarts => _lineStarts ??= FindLineStarts(text);

    private int LineIndexOf(int offset)
    {
        int found = Array.BinarySearch(LineStarts, offset);
        return found >= 0 ? found : ~found - 1;
    }

    private static int[] FindLineStarts(string text)
    {
        List<int> starts = [0];
        for (int i = text.IndexOf('\n'); i >= 0; i = text.IndexOf('\n', i + 1))
            starts.Add(i + 1);
        return [.. starts];
    }
}

/// <summary>A stretch of a source text, which a diagnostic underlines.</summary>
internal readonly record struct SourceSpan(SourceText Source, int Start, int Length)
{
    public (int Line, int Column) Place => Source.PlaceOf(Start);

    /// <summary><c>file:line:column</c>.</summary>
    public override string ToString()
    {
        (int line, int column) = Place;
        return $"{Source.DisplayPath}:{line}:{column}";
    }
}
