using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Net;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Listening;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;

namespace Launchd.Host.Listeners;

/// <summary>
/// The descriptors with which the service manager has started the supervisor (sd_listen_fds(3)): listeners that a supervisor before it has
/// put into the manager's store, which are its own again, and sockets that the manager has opened, which it keeps open for whoever it
/// passes them to. Of the latter each listener is a copy. From any thread, one at a time.
/// </summary>
internal sealed class InheritedListeners : IDisposable
{
    /// <summary>How the names begin of sockets that were taken from processes. No name of a listener has a colon.</summary>
    private const string BorrowedPrefix = "process:";

    /// <summary>
    /// They are moved to numbers from here on: a birth copies the table of descriptors up to those that it needs, which are to stay low.
    /// </summary>
    private const int LeastNumber = 128;

    private const int F_DUPFD_CLOEXEC = 1030, F_SETFD = 2, FD_CLOEXEC = 1;

    private readonly Dictionary<string, FileDescriptor> _stored = new(StringComparer.Ordinal);
    private readonly Dictionary<string, FileDescriptor> _taken = new(StringComparer.Ordinal);
    private readonly Dictionary<string, OpenedListener> _adopted = new(StringComparer.Ordinal);
    private readonly List<(ListenAddress.Inherited Name, FileDescriptor Descriptor)> _passed = [];
    private readonly HashSet<ListenAddress.Inherited> _used = [];
    private int _borrowedCount;

    // Names by the addresses to which the sockets are bound.
    private readonly Lazy<ILookup<string, string>> _byPlace;

    private InheritedListeners()
    {
        _byPlace = new(() => _stored.ToLookup(s => PlaceOf(s.Value), s => s.Key, StringComparer.Ordinal));
    }

    /// <summary>The names in the store of what has become a listener. The manager was told to forget the others.</summary>
    public IReadOnlyDictionary<string, FileDescriptor> Stored => _taken;

    /// <summary>Takes what the manager has passed. The numbers are not used by anybody else yet.</summary>
    public static InheritedListeners Take(ManagerOffer offer)
    {
        InheritedListeners inherited = new();
        foreach (OfferedDescriptor offered in offer.Descriptors)
        {
            if (!TryMove(offered.Number, out FileDescriptor? descriptor))
                continue;
            if (!offered.IsStored)
            {
                int number = inherited._passed.Count(p => p.Name.Name == offered.Name) + 1;
                inherited._passed.Add((new ListenAddress.Inherited(offered.Name, number), descriptor));
                continue;
            }
            if (!inherited._stored.TryAdd(offered.Name, descriptor))
                ListenerAdoption.Discard(descriptor);
        }
        return inherited;
    }

    /// <summary>
    /// A listener that the keeper has held. One of the same name from the manager's store is the same socket, or what the keeper passes in
    /// its place.
    /// </summary>
    public void Add(string name, FileDescriptor descriptorTaken)
    {
        if (_stored.Remove(name, out FileDescriptor? same))
            same.Dispose();
        _stored.Add(name, descriptorTaken);
    }

    /// <summary>
    /// A socket that a process of a killed supervisor has. It is adopted if the configuration has a listener at its address; else it is
    /// closed, and nothing is done to it.
    /// </summary>
    public void Borrow(FileDescriptor descriptorTaken)
    {
        if (TryMove(descriptorTaken.ReleaseNumber(), out FileDescriptor? descriptor))
            _stored.Add(string.Create(CultureInfo.InvariantCulture, $"{BorrowedPrefix}{++_borrowedCount}"), descriptor);
    }

    /// <summary>The name in the store of a listener. Names of sockets are printable ASCII without a colon.</summary>
    public static string NameOf(string socket, int endpoint, int shard) => $"{OfferedDescriptor.StorePrefix}{socket}.{endpoint}.{shard}";

    /// <summary>What the manager has opened and the configuration does not take: name, and where it is bound.</summary>
    public IEnumerable<(string Name, string Address)> Unused =>
        _passed.Where(p => !_used.Contains(p.Name)).Select(p => (p.Name.ToString(), ListenerState.AddressOf(p.Descriptor)));

    /// <summary>The listener of an address, if it is open already or cannot be opened by anybody else; null: it is to be opened.</summary>
    /// <param name="socket">Key of the socket to which it is to belong.</param>
    /// <param name="request">How it is opened.</param>
    /// <param name="address">Where.</param>
    /// <param name="endpoint">Which of the endpoints of the request that is.</param>
    /// <param name="shard">Which of its shards.</param>
    public OpenResult<OpenedListener>? Find(string socket, ListenerRequest request, ListenAddress address, int endpoint, int shard)
    {
        if (address is ListenAddress.Inherited name)
            return Open(name, request);
        if (_adopted.Remove(NameOf(socket, endpoint, shard), out OpenedListener? adopted))
            return adopted;
        return null;
    }

    /// <summary>
    /// Adopts from the store all that the configuration has. Before anything is opened: what is left may be in the way.
    /// </summary>
    public void Adopt(IEnumerable<(string Socket, ListenerRequest Request)> sockets)
    {
        if (_stored.Count == 0)
            return;
        foreach ((string socket, ListenerRequest request) in sockets)
        {
            for (int endpoint = 0; endpoint < request.Endpoints.Length; endpoint++)
            {
                for (int shard = 0; shard < Math.Max(1, request.ShardCount); shard++)
                {
                    if (Adopt(socket, request, request.Endpoints[endpoint], endpoint, shard) is { } adopted)
                        _adopted.Add(NameOf(socket, endpoint, shard), adopted);
                }
            }
        }
    }

    /// <summary>A copy of a socket that the manager has opened.</summary>
    public OpenResult<OpenedListener> Open(ListenAddress.Inherited name, ListenerRequest request)
    {
        string subject = $"cannot take {name}";
        if (_passed.Find(p => p.Name == name).Descriptor is not { } descriptor)
        {
            string there = _passed.Count == 0 ? "the service manager has passed no sockets"
                : $"the service manager has passed {string.Join(", ", _passed.Select(p => p.Name))}";
            return new OpenFailure("sd_listen_fds", subject, Errno.ENOENT, there);
        }
        if (Files.Duplicate(descriptor, closer: null, out Errno refused) is not { } copy)
            return new OpenFailure("fcntl", subject, refused);
        _ = _used.Add(name);
        return ListenerAdoption.Take(copy, name, request);
    }

    /// <summary>The listener at an address that a supervisor before this one has opened; null: there is none.</summary>
    private OpenedListener? Adopt(string socket, ListenerRequest request, ListenAddress address, int endpoint, int shard)
    {
        // The one of the same name first, because nothing else is known of a port that the kernel picked. One at the same place has another
        // name if its socket has.
        string expected = NameOf(socket, endpoint, shard);
        if (_stored.ContainsKey(expected) && TryAdopt(expected, address, request) is { } same)
            return same;
        foreach (string name in PlacesOf(address).SelectMany(place => _byPlace.Value[place]).Where(_stored.ContainsKey))
        {
            if (TryAdopt(name, address, request) is { } other)
                return other;
        }
        return null;
    }

    /// <summary>Ends the listeners of the store that the configuration does not have.</summary>
    /// <returns>Their names, which the manager is to forget: it has a copy of each.</returns>
    public IReadOnlyList<string> DiscardLeft()
    {
        string[] names = [.. _stored.Keys.Where(n => !IsBorrowed(n))];
        foreach ((string name, FileDescriptor descriptor) in _stored)
        {
            if (IsBorrowed(name))
                descriptor.Dispose();
            else
                ListenerAdoption.Discard(descriptor);
        }
        _stored.Clear();
        return names;
    }

    /// <summary>Closes what has not become a listener. The manager has copies.</summary>
    public void Dispose()
    {
        foreach (FileDescriptor descriptor in _stored.Values.Concat(_adopted.Values.Select(a => a.Descriptor)))
            descriptor.Dispose();
        foreach ((_, FileDescriptor descriptor) in _passed)
            descriptor.Dispose();
    }

    private static bool IsBorrowed(string name) => name.StartsWith(BorrowedPrefix, StringComparison.Ordinal);

    private OpenedListener? TryAdopt(string name, ListenAddress address, ListenerRequest request)
    {
        FileDescriptor descriptor = _stored[name];
        if (ListenerAdoption.TryAdopt(descriptor, address, request) is not { } listener)
            return null;
        _ = _stored.Remove(name);
        if (!IsBorrowed(name))
            _taken[name] = descriptor;
        return listener;
    }

    private static string[] PlacesOf(ListenAddress address) => address switch
    {
        ListenAddress.Tcp { Port: > 0 } tcp => PlacesOf("tcp", tcp.Host, tcp.Port, tcp.DualStack),
        ListenAddress.Udp { Port: > 0 } udp => PlacesOf("udp", udp.Host, udp.Port, udp.DualStack),
        ListenAddress.Unix unix => [$"unix {(unix.IsAbstract ? "@" : "")}{unix.Name}"],
        _ => [],
    };

    private static string[] PlacesOf(string protocol, IPAddress host, int port, bool isDualStack)
    {
        string there = $"{protocol} {new IPEndPoint(host, port)}";
        return isDualStack ? [there, $"{protocol} {new IPEndPoint(IPAddress.Any, port)}"] : [there];
    }

    private static string PlaceOf(FileDescriptor socket)
    {
        // Such as tcp-listener, unix-datagram.
        string kind = ListenerState.ReadUnlocked(socket, out _).Kind;
        return $"{kind.Split('-')[0]} {ListenerState.AddressOf(socket)}";
    }

    private static bool TryMove(int number, [NotNullWhen(true)] out FileDescriptor? descriptor)
    {
        int moved = Libc.fcntl(number, F_DUPFD_CLOEXEC, LeastNumber);
        if (moved < 0 && Libc.fcntl(number, F_SETFD, FD_CLOEXEC) < 0)
        {
            // There is none of this number.
            descriptor = null;
            return false;
        }
        descriptor = new FileDescriptor(moved < 0 ? number : moved);
        if (moved >= 0)
            new FileDescriptor(number).Dispose();
        return true;
    }
}
