using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Keeping;
using Launchd.Host.Lanes;
using Launchd.Host.Launching;
using Launchd.Host.Listeners;
using Launchd.Host.Loop;
using Launchd.Host.Manager;
using Launchd.Host.Reporting;
using Launchd.Linux.Loop;
using Launchd.Linux.Processes;
using Launchd.Logs;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Startup;

/// <summary>What the host is put together from; whoever made them disposes them after the host.</summary>
internal sealed record HostParts
{
    public required EventLoop Loop { get; init; }
    public required Mailbox Mailbox { get; init; }
    public required RuntimeDirectory Directory { get; init; }
    public required DescriptorTable Descriptors { get; init; }
    public required Launcher Launcher { get; init; }
    public required Births Births { get; init; }
    public required LoopSeat LoopSeat { get; init; }
    public required LogPump Pump { get; init; }
    public required Delays Delays { get; init; }
    public required NotifySockets NotifySockets { get; init; }
    public required SlowLanes Lanes { get; init; }
    public required PathConnects PathConnects { get; init; }
    public required Journal Journal { get; init; }
    public required ILogger Logger { get; init; }
    public required Moment StartedAt { get; init; }

    /// <summary>What the service manager offers.</summary>
    public required ManagerOffer Offer { get; init; }

    /// <summary>The listeners that came with it.</summary>
    public required InheritedListeners Inherited { get; init; }

    /// <summary>The way to the service manager, which the host disposes; null: there is none.</summary>
    public ManagerLink? Manager { get; init; }

    /// <summary>The parent of this process, which holds what another supervisor would need; null: there is none.</summary>
    public KeeperLink? Keeper { get; init; }

    /// <summary>Whether what another supervisor needs to go on is written down.</summary>
    public bool KeepsState { get; init; }

    /// <summary>What a supervisor before this one has left; null: there is no keeper, and nothing was left.</summary>
    public Heritage? Heritage { get; init; }

    /// <summary>Writes out what was said, before this process ends without another word.</summary>
    public required Action Drain { get; init; }

    /// <summary>Changes the supervisor's own log.</summary>
    public required Action<LogFormat, LogSeverity> AdoptLog { get; init; }
}
