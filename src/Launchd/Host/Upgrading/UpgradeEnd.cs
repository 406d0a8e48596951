using Launchd.Host.Keeping;
using Launchd.Host.Reporting;
using Launchd.Keeper;
using Launchd.Linux.Processes;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Upgrading;

/// <summary>The end of an upgrade, in the supervisor that goes on: the verdict.</summary>
/// <param name="History">Of the keeper: says whether this is the new program or the former one.</param>
/// <param name="From">The version that has handed over.</param>
internal sealed record UpgradeEnd(KeeperHistory History, string From)
{
    /// <summary>Why this is the former program again; null: it is the new one.</summary>
    public string? WhyBack => (KeeperUpgradeState)History.Upgrade switch
    {
        KeeperUpgradeState.Upgraded => null,
        KeeperUpgradeState.WentBack => $"the new program has proved itself, but its supervisor {HowItEnded(History.LastDeath)} before it "
            + "served, twice: the former program goes on",
        _ => $"the supervisor {HowItEnded(History.LastDeath)} when it was about to hand over, and was started anew",
    };

    /// <summary>Null: no upgrade has led to this supervisor.</summary>
    /// <param name="history">Of the keeper.</param>
    /// <param name="from">The version that has handed over; null: it is not known.</param>
    /// <param name="isAwaited">Somebody waits for the verdict.</param>
    public static UpgradeEnd? Of(KeeperHistory history, string? from, bool isAwaited) =>
        history.Upgrade == (int)KeeperUpgradeState.None && !isAwaited ? null : new UpgradeEnd(history, from ?? "an unknown version");

    /// <summary>This supervisor serves.</summary>
    public void Tell(Journal journal, ILogger logger)
    {
        if (WhyBack is { } why)
        {
            journal.Add(new UpgradeRefused(why));
            SupervisorLog.NotUpgraded(logger, why);
            return;
        }
        SupervisorLog.Upgraded(logger, From, ProductVersion.Text);
    }

    /// <summary>Has the keeper let go of the connection of whoever has waited.</summary>
    public static void Forget(KeeperLink keeper) => keeper.Drop(Upgrades.CallerName);

    private static string HowItEnded(in Reaped end) => end.Pid == 0 ? "could not be started"
        : end.Signal != 0 ? $"was killed by {new SignalNumber(end.Signal)}" : $"ended with code {end.Code}";
}
