using Launchd.Core;
using Launchd.Host.Reporting;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Notices;

/// <summary>Writes notices of the core to the supervisor's log.</summary>
internal static class NoticeLogger
{
    public static void Write(ILogger logger, Notice notice, Func<ServiceName, int, string?> addressOf)
    {
        switch (notice)
        {
            case Notice.Spawned e: SupervisorLog.Spawned(logger, Label(e), e.Pid); break;
            case Notice.ExecFailed e: SupervisorLog.SpawnFailed(logger, e.Failure.Text); break;
            case Notice.Notified e when logger.IsEnabled(LogLevel.Debug):
                SupervisorLog.Notified(logger, Label(e), string.Join(' ', e.Lines));
                break;
            case Notice.Completed e when logger.IsEnabled(LogLevel.Information):
                SupervisorLog.Completed(logger, Label(e), Spans.Show(e.After));
                break;
            case Notice.Ready e when logger.IsEnabled(LogLevel.Information):
                SupervisorLog.Ready(logger, Label(e), Spans.Show(e.After));
                break;
            case Notice.Draining e: SupervisorLog.Draining(logger, Label(e), e.Reason); break;
            case Notice.Killing e: SupervisorLog.Killing(logger, Label(e), e.Pid); break;
            case Notice.Exited { Reason: { } reason } e: SupervisorLog.ExitedBadly(logger, Label(e), e.Pid, $"{e.Status}; {reason}"); break;
            case Notice.Exited { IsFailure: true } e: SupervisorLog.ExitedBadly(logger, Label(e), e.Pid, e.Status.ToString()); break;
            case Notice.Exited e when logger.IsEnabled(LogLevel.Information):
                SupervisorLog.Exited(logger, Label(e), e.Pid, e.Status.ToString());
                break;
            case Notice.LeftoversEnded { EndedWell: true } e: SupervisorLog.HeirsEnded(logger, Label(e), e.Processes); break;
            case Notice.LeftoversEnded e: SupervisorLog.LeftoversEnded(logger, Label(e), e.Processes); break;
            case Notice.Restarting { Delay.Ticks: > 0 } e: SupervisorLog.Restarting(logger, $"{e.Of}.{e.Slot}", Spans.Show(e.Delay)); break;
            case Notice.Failed e: SupervisorLog.Failed(logger, $"{e.Of}.{e.Slot}", e.Failure.ToString()); break;
            case Notice.RolloutStarted e: SupervisorLog.RolloutStarted(logger, e.Of.Text, e.Generation); break;
            case Notice.RolloutFinished e when logger.IsEnabled(LogLevel.Information):
                SupervisorLog.RolloutFinished(logger, e.Of.Text, e.Generation, Spans.Show(e.After));
                break;
            case Notice.RolledBack e: SupervisorLog.RolledBack(logger, e.Of.Text, e.Generation, e.Former, e.Reason); break;
            case Notice.Scaled e: SupervisorLog.Scaled(logger, e.Of.Text, e.FormerCount, e.SlotCount); break;
            case Notice.Activated e: SupervisorLog.Activated(logger, e.Of.Text, addressOf(e.Of, e.ListenerIndex) ?? "?"); break;
            case Notice.ActivationPaused e: SupervisorLog.ActivationPaused(logger, e.Of.Text, Spans.Show(e.Pause), e.Reason); break;
            case Notice.ActivationResumed e: SupervisorLog.ActivationResumed(logger, e.Of.Text); break;
            case Notice.Stored { Refusal: { } refusal } e: SupervisorLog.NotStored(logger, e.Name, Label(e), refusal); break;
            case Notice.StoreShrunk e: SupervisorLog.StoreShrunk(logger, e.Of.Text, e.Limit, string.Join(", ", e.Names)); break;
            case Notice.DescriptorSent e when logger.IsEnabled(LogLevel.Debug):
                SupervisorLog.Sent(logger, e.Name, Label(e), e.To, e.Way);
                break;
            case Notice.DescriptorDenied e: SupervisorLog.Denied(logger, e.To, e.Name, e.Of.Text, e.Rule); break;
            case Notice.ChannelClosed e: SupervisorLog.ChannelClosed(logger, Label(e), e.Reason); break;
            case Notice.SignalRefused e: SupervisorLog.SignalRefused(logger, Label(e), e.Number.ToString(), e.Reason); break;
            case Notice.Shutdown e: SupervisorLog.ShuttingDown(logger, e.Reason); break;
        }
    }

    private static string Label(Notice.OfInstance of) => $"{of.Instance.Service}.{of.Slot}";
}
