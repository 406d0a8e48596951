using System.Globalization;
using Launchd.Cli.Surroundings;

namespace Launchd.Cli.Views;

/// <summary>Moments as people read them: local date and time with milliseconds.</summary>
internal static class TimeText
{
    /// <summary>The wire's ISO 8601 moment in UTC, shown in <paramref name="zone"/>; what is no moment is shown as it came.</summary>
    public static string Local(string moment, TimeZoneInfo zone) =>
        DateTimeOffset.TryParse(moment, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset parsed)
            ? TimeZoneInfo.ConvertTime(parsed, zone).ToString("yyyy-MM-dd HH:mm:ss.fff", CultureInfo.InvariantCulture)
            : TerminalText.Escape(moment);
}
