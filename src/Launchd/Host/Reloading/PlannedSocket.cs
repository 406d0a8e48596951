using System.Collections.Immutable;
using Launchd.Addresses;
using Launchd.Host.Listeners;
using Launchd.Host.Provisioning;
using Launchd.Linux.Listening;
using Launchd.Model;

namespace Launchd.Host.Reloading;

/// <summary>A socket of the next configuration with its listeners, in the order in which they will be held.</summary>
internal sealed class PlannedSocket(ListenerDefinition definition, ListenerRequest request)
{
    public ListenerDefinition Definition => definition;
    public ListenerRequest Request => request;
    public List<PlannedListener> Listeners { get; } = [];
    public ImmutableArray<OwnedPath> Aliases { get; set; } = [];

    public ListenAddress EndpointOf(PlannedListener listener) => request.Endpoints[listener.Address];

    /// <summary>The first shard of the same address.</summary>
    public PlannedListener FirstShardOf(PlannedListener listener) => Listeners.First(l => l.Address == listener.Address);
}

/// <summary>
/// Where a listener is held now: by name and place and not by object, because the listener guard may
/// have made it anew by the time of the switch.
/// </summary>
internal readonly record struct ListenerPlace(string Key, int Index);

/// <summary>
/// One listener of the next configuration: either it is open and its settings may change, or it was opened for the configuration.
/// </summary>
/// <param name="address">Which of the socket's addresses.</param>
/// <param name="shard">Which of that address's shards, from 0.</param>
internal sealed class PlannedListener(int address, int shard)
{
    public int Address => address;
    public int Shard => shard;

    /// <summary>The open listener of this address; null: there is none.</summary>
    public ListenerPlace? Place { get; set; }

    /// <summary>
    /// The listener of this address that was retired and is still open; null: there is none, or <see cref="Place"/> goes before it.
    /// </summary>
    public Listener? Revived { get; set; }

    /// <summary>How the open listener was opened.</summary>
    public ListenerRequest? Former { get; set; }

    /// <summary>A listener that was opened where none of ours is in the way. Owned.</summary>
    public OpenedListener? Fresh { get; set; }

    /// <summary>A listener that was opened where one of ours is open. Owned.</summary>
    public ReplacementListener? Replacement { get; set; }

    public bool IsOpened => Fresh is not null || Replacement is not null;

    /// <summary>The listener that is open at its address; null: none.</summary>
    /// <param name="held">The sockets that are held, by key.</param>
    public OpenedListener? Present(Func<string, HeldSocket?> held) =>
        Place is { } place ? held(place.Key)!.Opened[place.Index] : Revived?.Opened;

    /// <summary>The listener that will be held.</summary>
    /// <param name="held">As for <see cref="Present"/>.</param>
    public OpenedListener Result(Func<string, HeldSocket?> held) =>
        (Fresh ?? Replacement?.Listener ?? Present(held))! with { EndpointIndex = address, ShardIndex = shard };

    public void Undo()
    {
        Replacement?.Undo();
        if (Fresh is { } fresh)
            ListenerOpener.Undo(fresh);
    }
}
