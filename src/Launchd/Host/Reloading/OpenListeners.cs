using System.Diagnostics.CodeAnalysis;
using Launchd.Addresses;
using Launchd.Host.Listeners;
using Launchd.Host.Provisioning;
using Launchd.Linux.Listening;

namespace Launchd.Host.Reloading;

/// <summary>A listener that is open.</summary>
/// <param name="socket">The socket to which it belongs.</param>
/// <param name="listener">Borrowed.</param>
/// <param name="retired">The entry of the listener if it was retired; null: the present configuration has it.</param>
internal sealed class OpenListener(HeldSocket socket, OpenedListener listener, Listener? retired = null)
{
    public HeldSocket Socket => socket;
    public OpenedListener Listener => listener;
    public Listener? Retired => retired;

    /// <summary>Its entries in <see cref="OpenListeners"/>, for its removal.</summary>
    public List<LinkedListNode<OpenListener>> Found { get; } = new(4);
}

/// <summary>
/// Open listeners that the next configuration has not taken yet, found by address. They are indexed, because with thousands of wanted and
/// thousands of open sockets a walk through all open ones for each wanted one would take minutes.
/// </summary>
internal sealed class OpenListeners
{
    private readonly Dictionary<Place, LinkedList<OpenListener>> _places = [];

    public OpenListeners(IEnumerable<OpenListener> open)
    {
        foreach (OpenListener listener in open)
        {
            foreach (Place place in PlacesOf(listener))
            {
                if (!_places.TryGetValue(place, out LinkedList<OpenListener>? there))
                    _places.Add(place, there = []);
                listener.Found.Add(there.AddLast(listener));
            }
        }
    }

    /// <summary>Finds the first listener at an address, be it the configured or the bound one.</summary>
    /// <param name="address">An address of the next configuration.</param>
    /// <param name="shard">Which of its shards.</param>
    /// <param name="socket">Finds only listeners of the socket with this key; null: of any socket.</param>
    /// <param name="found">A listener that was not taken yet.</param>
    public bool TryFind(ListenAddress address, int shard, string? socket, [NotNullWhen(true)] out OpenListener? found)
    {
        found = _places.GetValueOrDefault(new Place(address.ToString(), shard, socket))?.First?.Value;
        return found is not null;
    }

    /// <summary>The next configuration takes a listener: it is not found any more.</summary>
    public static void Take(OpenListener taken)
    {
        foreach (LinkedListNode<OpenListener> node in taken.Found)
            node.List!.Remove(node);
        taken.Found.Clear();
    }

    /// <summary>The listeners whose port or path an endpoint needs.</summary>
    public IEnumerable<OpenListener> InTheWayOf(ListenAddress wanted) =>
        StandOf(wanted) is { } stand ? _places.GetValueOrDefault(stand) ?? [] : [];

    private static IEnumerable<Place> PlacesOf(OpenListener open)
    {
        string configured = open.Socket.AddressOf(open.Listener).ToString(), bound = open.Listener.Address;
        yield return new Place(configured, open.Listener.ShardIndex, null);
        yield return new Place(configured, open.Listener.ShardIndex, open.Socket.Key);
        if (bound != configured)
        {
            yield return new Place(bound, open.Listener.ShardIndex, null);
            yield return new Place(bound, open.Listener.ShardIndex, open.Socket.Key);
        }
        if (StandOf(open.Socket.EndpointOf(open.Listener)) is { } stand)
            yield return stand;
    }

    /// <summary>What only one socket can have: a port, at whatever host, or a path.</summary>
    private static Place? StandOf(ListenAddress endpoint) => endpoint switch
    {
        ListenAddress.Tcp { Port: > 0 } tcp => new Place($"tcp {tcp.Port}", -1, null),
        ListenAddress.Udp { Port: > 0 } udp => new Place($"udp {udp.Port}", -1, null),
        ListenAddress.Unix { IsAbstract: false } unix => new Place($"unix {unix.Name}", -1, null),
        _ => null,
    };

    /// <param name="Where">An address as the configuration spells it, or a stand.</param>
    /// <param name="Shard">-1 for a stand.</param>
    /// <param name="Socket">Key of its socket; null: any socket.</param>
    private readonly record struct Place(string Where, int Shard, string? Socket);
}
