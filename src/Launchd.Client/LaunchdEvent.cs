using Launchd.Client.Channel;
using Launchd.Client.Interop;

namespace Launchd.Client;

/// <summary>What the supervisor tells a program that watches; <see cref="LaunchdClient.WatchAsync"/>.</summary>
public abstract class LaunchdEvent
{
    private protected LaunchdEvent()
    {
    }

    internal static LaunchdEvent Read(ChannelPacket packet) => packet.EventName switch
    {
        "Drain" => new DrainAsked(packet.Number("deadline_usec"), packet.Number("successor")),
        "HandOver" => new HandOverAsked(packet.Number("successor") ?? 0),
        "Reload" => new ReloadAsked(),
        "PredecessorEnded" => new PredecessorEnded(packet.Number("predecessor") ?? 0),
        "SiblingChanged" => new SiblingChanged(packet.Text("service") ?? "", packet.Text("state") ?? ""),
        _ => new OtherEvent(packet.EventName!),
    };
}

/// <summary>Finish what is under way and end: no new work will come.</summary>
public sealed class DrainAsked : LaunchdEvent
{
    private readonly long? _deadlineMicroseconds;

    internal DrainAsked(long? deadlineMicroseconds, long? successor)
    {
        _deadlineMicroseconds = deadlineMicroseconds;
        Successor = successor;
    }

    /// <summary>The instance that takes over; null if there is none.</summary>
    public long? Successor { get; }

    /// <summary>How long until the process is killed, measured when read, never negative; null: no limit.</summary>
    public TimeSpan? TimeLeft => _deadlineMicroseconds is { } deadline
        ? MonotonicClock.Span(Math.Max(0, deadline) - MonotonicClock.Microseconds())
        : null;
}

/// <summary>The successor is there: <see cref="LaunchdClient.HandOverAsync"/> reaches it from now on.</summary>
public sealed class HandOverAsked : LaunchdEvent
{
    internal HandOverAsked(long successor)
    {
        Successor = successor;
    }

    /// <summary>The number of the instance that takes over.</summary>
    public long Successor { get; }
}

/// <summary>The predecessor has ended, and no other is there: nothing more will be handed over to this instance.</summary>
public sealed class PredecessorEnded : LaunchdEvent
{
    internal PredecessorEnded(long predecessor)
    {
        Predecessor = predecessor;
    }

    /// <summary>The number of the instance that has ended.</summary>
    public long Predecessor { get; }
}

/// <summary>Read the configuration again.</summary>
public sealed class ReloadAsked : LaunchdEvent
{
    internal ReloadAsked()
    {
    }
}

/// <summary>A service of which something may be asked has changed its state.</summary>
public sealed class SiblingChanged : LaunchdEvent
{
    internal SiblingChanged(string service, string state)
    {
        Service = service;
        State = state;
    }

    /// <summary>Its name.</summary>
    public string Service { get; }

    /// <summary>Its public state, such as <c>ready</c> or <c>stopped</c>.</summary>
    public string State { get; }
}

/// <summary>An event that this version of the library does not know.</summary>
public sealed class OtherEvent : LaunchdEvent
{
    internal OtherEvent(string name)
    {
        Name = name;
    }

    /// <summary>Its name on the wire.</summary>
    public string Name { get; }
}
