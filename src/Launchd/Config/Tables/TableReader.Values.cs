using System.Collections.Immutable;
using Launchd.Config.Diagnostics;
using Launchd.Config.Toml;
using Launchd.Config.Values;

namespace Launchd.Config.Tables;

// The getters of single values and of lists of strings.
internal sealed partial class TableReader
{
    private const int LongestPathBytes = 4095;

    public bool Bool(string key, bool fallback)
    {
        if (Take(key) is not { } found)
            return fallback;
        if (found.Kind == TomlKind.Boolean)
            return found.Flag;
        WrongType(key, found, "true or false", null);
        return fallback;
    }

    public int Int(string key, int fallback, int least, int most) => IntOrNull(key, least, most) ?? fallback;

    public int? IntOrNull(string key, int least, int most)
    {
        if (Take(key) is not { } found)
            return null;
        if (IntegerOf(key, found) is not { } number)
            return null;
        if (number >= least && number <= most)
            return (int)number;
        Error(DiagnosticCode.OutOfRange, key, found,
            least < 0 ? $"{number} is out of range {least} to {most}" : $"{number} is out of range {least}-{most}");
        return null;
    }

    /// <summary>A number that may stand in quotes, so that it can come from the environment.</summary>
    public long? IntegerOf(string key, TomlValue found)
    {
        if (found.Kind == TomlKind.Integer)
            return found.Number;
        if (found.Kind != TomlKind.String)
        {
            WrongType(key, found, "an integer", null);
            return null;
        }
        if (TextOf(key, found) is not { } text)
            return null;
        if (long.TryParse(text, System.Globalization.NumberStyles.AllowLeadingSign, null, out long number))
            return number;
        Error(DiagnosticCode.BadForm, key, found, $"'{text}' is not an integer");
        return null;
    }

    public double Real(string key, double fallback, double least, double most)
    {
        if (Take(key) is not { } found)
            return fallback;
        if (found.Kind is not (TomlKind.Float or TomlKind.Integer))
        {
            WrongType(key, found, "a number", null);
            return fallback;
        }
        double number = found.Kind == TomlKind.Float ? found.Real : found.Number;
        // Written so that NaN is outside of any range.
        if (number >= least && number <= most)
            return number;
        Error(DiagnosticCode.OutOfRange, key, found, FormattableString.Invariant($"{number} is out of range {least}-{most}"));
        return fallback;
    }

    public string? String(string key, string? fallback) => Take(key) is { } found ? NonEmpty(key, found) ?? fallback : fallback;

    /// <summary>An absolute path: a relative one starts at the directory of the file in which it stands.</summary>
    public string? FullPath(string key, string? fallback, PlaceholderUse use = PlaceholderUse.None) =>
        Take(key) is { } found ? FullPathOf(key, found, use) ?? fallback : fallback;

    public string? FullPathOf(string key, TomlValue found, PlaceholderUse use = PlaceholderUse.None) =>
        NonEmpty(key, found, use) is { } text ? FullPathOf(key, found, text) : null;

    public string? FullPathOf(string key, TomlValue found, string text)
    {
        WarnOfTilde(key, found, text);
        string path = System.IO.Path.GetFullPath(text, Source.DirectoryPath);
        if (ByteLength.Of(path) <= LongestPathBytes)
            return path;
        Error(DiagnosticCode.PathTooLong, key, found, $"a path has at most {LongestPathBytes} bytes");
        return null;
    }

    public TimeSpan Duration(string key, TimeSpan fallback, TimeSpan? least = null)
    {
        if (Take(key) is not { } found || TextOf(key, found, form: Quantities.DurationForm) is not { } text)
            return fallback;
        if (Quantities.ParseDuration(text) is not { } duration)
        {
            Error(DiagnosticCode.BadForm, key, found, $"'{text}' is not a duration", Quantities.DurationForm);
            return fallback;
        }
        if (duration <= Quantities.LongestDuration && duration >= (least ?? TimeSpan.Zero))
            return duration;
        string range = least is { } shortest ? $"{shortest.TotalMilliseconds}ms to 3650d" : "0s to 3650d";
        Error(DiagnosticCode.OutOfRange, key, found, $"{text} is out of range {range}");
        return fallback;
    }

    /// <summary>A duration, where zero means none.</summary>
    public TimeSpan? DurationOrNone(string key, TimeSpan? fallback)
    {
        if (!Has(key))
            return fallback;
        TimeSpan duration = Duration(key, fallback ?? TimeSpan.Zero);
        return duration == TimeSpan.Zero ? null : duration;
    }

    public long? Size(string key, long? fallback, long least, long most)
    {
        if (Take(key) is not { } found || SizeOf(key, found) is not { } bytes)
            return fallback;
        if (bytes >= least && bytes <= most)
            return bytes;
        Error(DiagnosticCode.OutOfRange, key, found, $"{bytes} bytes are out of range {least}-{most}");
        return fallback;
    }

    public long? SizeOf(string key, TomlValue found)
    {
        if (found.Kind == TomlKind.Integer)
            return found.Number;
        if (found.Kind != TomlKind.String)
        {
            WrongType(key, found, "a size", Quantities.SizeForm);
            return null;
        }
        if (TextOf(key, found) is not { } text)
            return null;
        if (Quantities.ParseSize(text) is { } bytes)
            return bytes;
        Error(DiagnosticCode.BadForm, key, found, $"'{text}' is not a size", Quantities.SizeForm);
        return null;
    }

    public int Mode(string key, int fallback) => ModeOrNull(key) ?? fallback;

    public int? ModeOrNull(string key)
    {
        if (Take(key) is not { } found || TextOf(key, found, form: Quantities.ModeForm) is not { } text)
            return null;
        if (Quantities.ParseMode(text) is not { } mode)
            Error(DiagnosticCode.BadForm, key, found, $"'{text}' is not a mode", Quantities.ModeForm);
        else if (mode > 0b111_111_111_111)
            Error(DiagnosticCode.OutOfRange, key, found, $"{text} is out of range 0-7777");
        else
            return mode;
        return null;
    }

    /// <summary>One of a few words.</summary>
    public T Choice<T>(string key, T fallback, params ReadOnlySpan<(string Word, T Value)> choices)
    {
        if (Take(key) is not { } found || TextOf(key, found) is not { } text)
            return fallback;
        foreach ((string word, T choice) in choices)
        {
            if (word == text)
                return choice;
        }
        string[] words = [.. choices.ToArray().Select(c => c.Word)];
        Error(DiagnosticCode.UnknownChoice, key, found, $"'{text}' is not one of {string.Join(", ", words)}", Suggestion.For(text, words));
        return fallback;
    }

    /// <summary>A list of strings, each not empty.</summary>
    public ImmutableArray<string> Strings(string key, ImmutableArray<string> fallback)
    {
        if (!Has(key))
            return fallback;
        ImmutableArray<string>.Builder texts = ImmutableArray.CreateBuilder<string>();
        foreach (TomlValue item in Elements(key))
        {
            if (NonEmpty(key, item) is { } text)
                texts.Add(text);
        }
        return texts.DrainToImmutable();
    }

    /// <summary>A program and its arguments, of which only the program must not be empty.</summary>
    public ImmutableArray<string> Command(string key, ImmutableArray<string> fallback, PlaceholderUse use)
    {
        if (Take(key) is not { } found)
            return fallback;
        if (found.Kind != TomlKind.Array)
        {
            WrongType(key, found, "a list of strings", "write [\"program\", \"argument\"]: no shell takes a line apart");
            return fallback;
        }
        ImmutableArray<string>.Builder texts = ImmutableArray.CreateBuilder<string>(found.Items.Count);
        foreach (TomlValue item in found.Items)
        {
            if (TextOf(key, item, use) is { } text)
                texts.Add(text);
        }
        if (found.Items.Count == 0 || (texts.Count > 0 && texts[0].Length == 0))
            Error(DiagnosticCode.EmptyValue, key, found, "names no program", "write [\"program\", \"argument\"]");
        if (texts.Count > 0 && texts[0].Contains('/') && !texts[0].StartsWith('/') && texts[0][0] != Model.Placeholders.Mark)
        {
            WarnOfTilde(key, found, texts[0]);
            texts[0] = System.IO.Path.GetFullPath(texts[0], Source.DirectoryPath);
        }
        return texts.DrainToImmutable();
    }

    // A name may begin with a tilde; a directory of that name is hardly ever meant.
    private void WarnOfTilde(string key, TomlValue found, string text)
    {
        if (text == "~" || (text.StartsWith('~') && text.Contains('/')))
        {
            context.Diagnostics.Warning(DiagnosticCode.TildeStays, found.Span,
                $"{PathTo(key)}: '~' is not expanded, which only shells do", "write the full path, or ${HOME}/… for the supervisor's");
        }
    }

    public string? NonEmpty(string key, TomlValue found, PlaceholderUse use = PlaceholderUse.None)
    {
        if (TextOf(key, found, use) is not { } text)
            return null;
        if (text.Length > 0)
            return text;
        Error(DiagnosticCode.EmptyValue, key, found, "must not be empty");
        return null;
    }
}
