using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Listeners;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Notices;

/// <summary>Passes each notice of the core to the journal, to the log, and to programs that watch events.</summary>
internal sealed class NoticeReporter(RunningInstances instances, ServiceListeners listeners, Journal journal, ILogger logger)
{
    /// <summary>Called last with each notice; set when the channels have been made.</summary>
    public Action<Notice>? OnReported { get; set; }

    public void Report(Notice notice)
    {
        if (notice is Notice.Stored stored && instances.Find(stored.Instance) is { } storing)
        {
            if (!storing.MayReport(HostClock.Now, out long skipped))
                return;
            notice = stored with { SkippedCount = skipped };
        }
        journal.Add(notice);
        NoticeLogger.Write(logger, notice, listeners.AddressOf);
        OnReported?.Invoke(notice);
    }
}
