using System.Collections.Immutable;
using System.Text.Json;
using Launchd.Config.Comparing;

namespace Launchd.Host.Reporting;

/// <summary>Something that happened to what the host keeps, and that the core does not know of.</summary>
/// <param name="Kind">As it is called in the stream of events.</param>
internal abstract record HostNotice(string Kind)
{
    /// <summary>Writes the keys of the kind, into an object that has begun.</summary>
    public abstract void Write(Utf8JsonWriter json);

    /// <summary>Writes the key and address of a listener.</summary>
    protected static void WriteListener(Utf8JsonWriter json, string socket, string address)
    {
        json.WriteString("socket", socket);
        json.WriteString("address", address);
    }
}

/// <summary>A listener was opened.</summary>
internal sealed record ListenerOpened(string Socket, string Address) : HostNotice("listener-opened")
{
    public override void Write(Utf8JsonWriter json) => WriteListener(json, Socket, Address);
}

/// <summary>The supervisor runs. <paramref name="After"/> is how the one before it ended, if there was one.</summary>
internal sealed record SupervisorStarted(string Reason, int Pid, string? After) : HostNotice("supervisor-started")
{
    public override void Write(Utf8JsonWriter json)
    {
        json.WriteString("reason", Reason);
        json.WriteNumber("pid", Pid);
        if (After is not null)
            json.WriteString("after", After);
    }
}

/// <summary>Another program was to take the supervisor's place, and does not.</summary>
internal sealed record UpgradeRefused(string Reason) : HostNotice("upgrade-refused")
{
    public override void Write(Utf8JsonWriter json) => json.WriteString("reason", Reason);
}

/// <summary>
/// A listener that a program had spoilt is as it was. <paramref name="Remedy"/> is <c>mended</c>, <c>linked back</c> or
/// <c>put back</c> (the same open socket), or <c>made anew</c>.
/// </summary>
internal sealed record ListenerHealed(string Socket, string Address, string Fault, string Remedy) : HostNotice("listener-healed")
{
    /// <summary>The instances that had it.</summary>
    public required string[] Holders { get; init; }

    public override void Write(Utf8JsonWriter json)
    {
        WriteListener(json, Socket, Address);
        json.WriteString("fault", Fault);
        json.WriteString("remedy", Remedy);
        Journal.WriteList(json, "holders", Holders);
    }
}

/// <summary>Something of somebody else's lies at the path of a listener, or where a link leads to it; it is not removed.</summary>
internal sealed record ListenerPathTaken(string Socket, string Address, string By) : HostNotice("listener-path-taken")
{
    public override void Write(Utf8JsonWriter json)
    {
        WriteListener(json, Socket, Address);
        json.WriteString("by", By);
    }
}

/// <summary>
/// An instance is ready, and for some seconds nobody has taken a client out of the queue of a listener that it was given.
/// </summary>
internal sealed record ListenerNotAccepted(string Socket, string Address, int WaitingCount, string[] Holders)
    : HostNotice("listener-not-accepted")
{
    public override void Write(Utf8JsonWriter json)
    {
        WriteListener(json, Socket, Address);
        json.WriteNumber("waiting", WaitingCount);
        Journal.WriteList(json, "holders", Holders);
    }
}

/// <summary>A process that belongs to no living instance still has a listener that was given to an instance that is over.</summary>
/// <param name="Socket">By its key.</param>
/// <param name="Address">Of the listener.</param>
/// <param name="Pid">The process.</param>
/// <param name="Command">The name of its program.</param>
/// <param name="LeftBy">The instance that left it, as <c>web.0</c>; null: it does not descend from the supervisor.</param>
internal sealed record ListenerHeld(string Socket, string Address, int Pid, string Command, string? LeftBy) : HostNotice("listener-held")
{
    public override void Write(Utf8JsonWriter json)
    {
        WriteListener(json, Socket, Address);
        json.WriteNumber("pid", Pid);
        json.WriteString("command", Command);
        json.WriteString("left_by", LeftBy);
    }
}

/// <summary>A service that was given sockets listens at a TCP address of its own as well.</summary>
internal sealed record ListensElsewhere(string Service, int Pid, string Address) : HostNotice("listens-elsewhere")
{
    public override void Write(Utf8JsonWriter json)
    {
        json.WriteString("service", Service);
        json.WriteNumber("pid", Pid);
        json.WriteString("address", Address);
    }
}

/// <summary>Somebody else's socket listens at the port of a listener, and gets a part of its clients.</summary>
/// <param name="Socket">The listener, by its key.</param>
/// <param name="Address">Where the other one listens.</param>
/// <param name="Pid">Whose it is; 0: that cannot be seen.</param>
/// <param name="Command">The name of the program; empty: it cannot be seen.</param>
internal sealed record PortShared(string Socket, string Address, int Pid, string Command) : HostNotice("port-shared")
{
    public override void Write(Utf8JsonWriter json)
    {
        WriteListener(json, Socket, Address);
        json.WriteNumber("pid", Pid);
        json.WriteString("command", Command);
    }
}

/// <summary>Somebody had removed the runtime directory, or the control socket in it; it is there again.</summary>
internal sealed record RuntimeDirectoryRestored(string Path, string What) : HostNotice("runtime-directory-restored")
{
    public override void Write(Utf8JsonWriter json)
    {
        json.WriteString("path", Path);
        json.WriteString("what", What);
    }
}

/// <summary>Another configuration holds now: which tables were added, changed and removed, as <c>services.web</c>.</summary>
internal sealed record ConfigurationReloaded(ImmutableArray<string> Added, ImmutableArray<string> Changed, ImmutableArray<string> Removed)
    : HostNotice("reloaded")
{
    public static ConfigurationReloaded Of(DefinitionDifference difference) =>
        new(Paths(difference, ChangeKind.Added), Paths(difference, ChangeKind.Changed), Paths(difference, ChangeKind.Removed));

    public override void Write(Utf8JsonWriter json)
    {
        Journal.WriteList(json, "added", Added);
        Journal.WriteList(json, "changed", Changed);
        Journal.WriteList(json, "removed", Removed);
    }

    private static ImmutableArray<string> Paths(DefinitionDifference difference, ChangeKind kind) =>
        [.. difference.Changes.Where(c => c.Kind == kind).Select(c => c.Path)];
}

/// <summary>A reload was asked for and changed nothing.</summary>
internal sealed record ReloadRefused(string Reason) : HostNotice("reload-refused")
{
    public override void Write(Utf8JsonWriter json) => json.WriteString("reason", Reason);
}
