using System.Globalization;
using Launchd.Cli.Surroundings;

namespace Launchd.Cli.Views;

/// <summary>Moments as people read them: local date and time with milliseconds.</summary>
internal static class TimeText
{
    /// <summary>The wire's ISO 8601 moment in UTC, shown in local time; what is no moment is shown as it came.</summary>
    /// <param name="moment">ISO 8601.</param>
    /// <param name="local">Makes a local time of a moment.</param>
    public static string Local(string moment, Func<DateTimeOffset, DateTime> local) =>
        DateTimeOffset.TryParse(moment, CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal, out DateTimeOffset parsed)
            ? local(parsed).ToString("yyyy-MM-dd HH:mm:ss.fff", CultureInfo.InvariantCulture)
            : TerminalText.Escape(moment);
}
