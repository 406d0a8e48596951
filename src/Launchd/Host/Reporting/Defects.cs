using Microsoft.Extensions.Logging;

namespace Launchd.Host.Reporting;

/// <summary>
/// Gets every exception that the loop caught to go on: counts it for <c>status</c>, and logs each place only once, so that
/// a handler that always fails does not fill the log.
/// </summary>
/// <param name="logger">Of the supervisor.</param>
/// <param name="counters">Of the supervisor.</param>
internal sealed class Defects(ILogger logger, Counters counters)
{
    /// <summary>Most different defects that are logged; further ones are only counted.</summary>
    private const int MostTold = 64;

    private readonly HashSet<string> _told = [];

    /// <summary>On the loop. Throws nothing.</summary>
    /// <param name="kind">Name of the counter.</param>
    /// <param name="defect">What was thrown.</param>
    public void Report(string kind, Exception defect)
    {
        try
        {
            counters.Count(kind);
            if (_told.Count < MostTold && _told.Add(Defect.Describe(defect)))
                SupervisorLog.MetDefect(logger, kind, Defect.DescribeWithStack(defect));
        }
        catch (Exception)
        {
            // There may be no memory even to report: the services go on all the same.
        }
    }
}
