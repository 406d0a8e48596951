using Microsoft.Extensions.Logging;

namespace Launchd.Host.Reporting;

/// <summary>
/// Hears of everything that was caught by the last containments of the loop: counts it, for <c>status</c>, and logs each place once,
/// or a handler that fails for ever would fill the log.
/// </summary>
/// <param name="logger">Of the supervisor.</param>
/// <param name="counters">Of the supervisor.</param>
internal sealed class Defects(ILogger logger, Counters counters)
{
    /// <summary>Different ones beyond that are counted only.</summary>
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
            // No memory even for this, perhaps: the services go on all the same.
        }
    }
}
