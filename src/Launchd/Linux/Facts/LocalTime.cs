using Launchd.Interop;

namespace Launchd.Linux.Facts;

/// <summary>
/// The time of day where this machine stands, as localtime(3) has it, and so date(1): the zone of <c>TZ</c> in each of its forms (a name, a
/// path, a rule such as <c>CET-1CEST,M3.5.0,M10.5.0/3</c>), else of the file /etc/localtime, whatever lies there; without either it is
/// UTC. .NET's own zone knows no rules, and takes the name to which /etc/localtime leads for what is in it. From any thread.
/// </summary>
internal static unsafe class LocalTime
{
    /// <summary>A moment as a local date and time, of kind Unspecified.</summary>
    public static DateTime Of(DateTimeOffset moment)
    {
        long seconds = moment.ToUnixTimeSeconds();
        Libc.tm_time local = default;
        bool isTold = Libc.localtime_r(&seconds, &local) != null;
        return DateTime.SpecifyKind(moment.UtcDateTime.AddSeconds(isTold ? local.tm_gmtoff : 0), DateTimeKind.Unspecified);
    }
}
