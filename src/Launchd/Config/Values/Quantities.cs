using System.Globalization;
using System.Text;

namespace Launchd.Config.Values;

/// <summary>
/// Reads the texts of durations, sizes and modes. A null result: the text is not of that form. Where
/// possible, values out of range have another result.
/// </summary>
internal static class Quantities
{
    public const string DurationForm = "write a number with a unit, such as \"250ms\", \"10s\", \"5m\" or \"1h\"";
    public const string SizeForm = "write \"64KiB\", \"10MiB\" or a number of bytes";
    public const string ModeForm = "write octal digits in quotes, such as \"0640\"";

    /// <summary>Ten years: a longer duration is taken for a mistake.</summary>
    public static readonly TimeSpan LongestDuration = TimeSpan.FromDays(3650);

    private static readonly (string Unit, double Milliseconds)[] DurationUnits =
        [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("us", 0.001)];

    private static readonly (string Unit, long Bytes)[] SizeUnits =
    [
        ("", 1), ("B", 1), ("KiB", 1L << 10), ("MiB", 1L << 20), ("GiB", 1L << 30), ("TiB", 1L << 40), ("K", 1L << 10), ("M", 1L << 20),
        ("G", 1L << 30), ("T", 1L << 40), ("kB", 1000), ("KB", 1000), ("MB", 1_000_000), ("GB", 1_000_000_000), ("TB", 1_000_000_000_000),
    ];

    /// <summary><c>250ms</c>, <c>1.5s</c>, <c>1h30m</c>. Zero needs a unit as well.</summary>
    public static TimeSpan? ParseDuration(string text)
    {
        double milliseconds = 0;
        int at = 0;
        while (at < text.Length)
        {
            int number = NumberLength(text.AsSpan(at));
            int unit = at + number;
            while (unit < text.Length && char.IsAsciiLetter(text[unit]))
                unit++;
            double factor =
                DurationUnits.FirstOrDefault(u => text.AsSpan(at + number, unit - at - number).SequenceEqual(u.Unit)).Milliseconds;
            if (factor == 0 || !TryParseNumber(text.AsSpan(at, number), out double count))
                return null;
            milliseconds += count * factor;
            at = unit;
        }
        if (text.Length == 0)
            return null;
        return milliseconds > LongestDuration.TotalMilliseconds ? TimeSpan.MaxValue : TimeSpan.FromMilliseconds(milliseconds);
    }

    /// <summary>Bytes, or <see cref="long.MaxValue"/> if it is more than fits.</summary>
    public static long? ParseSize(string text)
    {
        int number = NumberLength(text);
        string unit = text[number..].Trim();
        int index = Array.FindIndex(SizeUnits, u => u.Unit == unit);
        if (index < 0 || !TryParseNumber(text.AsSpan(0, number), out double count))
            return null;
        double bytes = count * SizeUnits[index].Bytes;
        if (bytes >= long.MaxValue)
            return long.MaxValue;
        return (long)bytes;
    }

    /// <summary>One to four octal digits.</summary>
    public static int? ParseMode(string text)
    {
        if (text.Length is 0 or > 5 || text.AsSpan().ContainsAnyExceptInRange('0', '7'))
            return null;
        int mode = 0;
        foreach (char digit in text)
            mode = (mode << 3) | (digit - '0');
        return mode;
    }

    private static int NumberLength(ReadOnlySpan<char> text)
    {
        int length = 0;
        while (length < text.Length && (char.IsAsciiDigit(text[length]) || text[length] == '.'))
            length++;
        return length;
    }

    private static bool TryParseNumber(ReadOnlySpan<char> text, out double number) =>
        double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out number) && double.IsFinite(number);

    /// <summary>The text of a duration as in the configuration: <c>1h30m</c>, <c>250ms</c>.</summary>
    public static string Show(TimeSpan time)
    {
        if (time == TimeSpan.Zero)
            return "0s";
        StringBuilder text = new();
        ReadOnlySpan<(string, long)> units =
        [
            ("d", TimeSpan.TicksPerDay), ("h", TimeSpan.TicksPerHour), ("m", TimeSpan.TicksPerMinute),
            ("s", TimeSpan.TicksPerSecond), ("ms", TimeSpan.TicksPerMillisecond), ("us", TimeSpan.TicksPerMicrosecond),
        ];
        foreach ((string unit, long ticks) in units)
        {
            long count = time.Ticks / ticks;
            time -= TimeSpan.FromTicks(count * ticks);
            if (count > 0)
                text.Append(CultureInfo.InvariantCulture, $"{count}{unit}");
        }
        return text.ToString();
    }

    /// <summary>The text of a size in the largest unit in which it is a whole number: <c>10MiB</c>, <c>1500</c>.</summary>
    public static string ShowSize(long bytes)
    {
        ReadOnlySpan<(string, long)> units = [("TiB", 1L << 40), ("GiB", 1L << 30), ("MiB", 1L << 20), ("KiB", 1L << 10)];
        foreach ((string unit, long factor) in units)
        {
            if (bytes >= factor && bytes % factor == 0)
                return string.Create(CultureInfo.InvariantCulture, $"{bytes / factor}{unit}");
        }
        return bytes.ToString(CultureInfo.InvariantCulture);
    }
}
