using System.Collections.Immutable;
using Launchd.Core;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Linux.Listening;

namespace Launchd.Host.Listeners;

// What a look has found, and how it is told.
internal sealed partial class ListenerGuard
{
    /// <summary>What a program does to its listener each time it starts is told of the first time.</summary>
    private static readonly TimeSpan Once = TimeSpan.MaxValue;

    /// <summary>Different faults that are remembered as told.</summary>
    private const int MostTold = 16;

    private static string WordsOf(ListenerFault fault, OpenedListener listener, int backlogCount) => fault switch
    {
        ListenerFault.None => "",
        ListenerFault.BacklogShrunk =>
            $"its queue was shortened from {backlogCount} to {ListenerState.ReadQueue(listener.Descriptor)?.BacklogCount}",
        ListenerFault.Filtered => "a packet filter was put on it",
        ListenerFault.Connected => "it was connected to a peer",
        _ => "it was shut down",
    };

    /// <param name="listener">It was spoilt.</param>
    /// <param name="fault">How, in words.</param>
    /// <param name="remedy">What was done, in words.</param>
    /// <param name="quiet">How long the same is not told again.</param>
    private void Tell(Listener listener, string fault, string remedy, TimeSpan quiet = default)
    {
        counters.Count("listeners-healed");
        // A program that does it all the time must not push everything else out of the list of events.
        Moment now = HostClock.Now;
        Dictionary<string, Moment> told = listener.Watch.Told ??= [];
        if (told.TryGetValue(fault, out Moment last) && now - last < quiet)
            return;
        if (told.Count >= MostTold)
            told.Clear();
        told[fault] = now;
        string[] holders =
            listener.Holders.Count > 0 || listener.LastHolder is not { } gone ? [.. listener.Holders.Select(h => h.Label)] : [gone];
        journal.Add(new ListenerHealed(listener.Socket.Key, listener.Opened.Address, fault, remedy) { Holders = holders });
        SupervisorLog.Healed(logger, listener.Socket.Key, listener.Opened.Address, fault, "it was " + remedy);
    }

    /// <summary>What was found at a listener.</summary>
    /// <param name="Fault">Of the open socket.</param>
    /// <param name="Words">The same for people.</param>
    /// <param name="IsMended">Whether the open socket is well now.</param>
    private sealed record ListenerLook(ListenerFault Fault, string Words, bool IsMended)
    {
        /// <summary>The open socket was not looked at.</summary>
        public bool IsOfPathAlone { get; init; }

        /// <summary>Null: its path was not looked at.</summary>
        public PathFinding? Path { get; init; }

        /// <summary>Of the symbolic links to it, the one that is worst; null: they were not looked at.</summary>
        public PathFinding? Alias { get; init; }

        /// <summary>The links as they are now.</summary>
        public ImmutableArray<OwnedPath> Aliases { get; init; } = [];
    }
}
