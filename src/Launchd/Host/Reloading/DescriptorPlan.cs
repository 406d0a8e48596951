using System.Collections.Immutable;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.Host.Listeners;
using Launchd.Host.Provisioning;
using Launchd.Host.Reporting;
using Launchd.Linux.Calls;
using Launchd.Linux.Listening;
using Launchd.Linux.Paths;
using Launchd.Model;

namespace Launchd.Host.Reloading;

/// <summary>
/// The descriptors of the next configuration: which of the open ones stay, which are opened, which are retired. <see cref="Open"/> runs
/// beside the loop and touches nothing that serves; <see cref="Commit"/> switches in one turn of the loop, or refuses and changes nothing.
/// Owns the descriptors that it has opened until the table of descriptors takes them over.
/// </summary>
/// <remarks>
/// A listener is recognised by its address, not by its name: one that gets another name, two that swap their names, one whose port moved to
/// another table, all keep the very sockets that are open. Only listeners that no name wants any more are retired.
/// </remarks>
internal sealed class DescriptorPlan
{
    private readonly List<PlannedSocket> _sockets = [];
    private readonly List<HeldFile> _files = [];
    private readonly List<FileDescriptor> _openedFiles = [];
    private readonly List<OwnedPath> _madeAliases = [];

    /// <summary>Directories that were not there before, the outer ones first.</summary>
    private readonly List<string> _missingDirectories = [];
    private readonly HashSet<string> _isMissing = new(StringComparer.Ordinal);
    private readonly Dictionary<string, HeldSocket> _present;
    private readonly Dictionary<string, OwnedPath> _aliases;

    // Listeners of the present configuration, and retired ones, as long as the next configuration has not taken them.
    private readonly OpenListeners _free, _retired;
    private readonly SupervisorDefinition _next;
    private readonly UserTable _users;
    private readonly InheritedListeners _inherited;

    private DescriptorPlan(
        IReadOnlyCollection<HeldSocket> present, IEnumerable<Listener> retired, SupervisorDefinition next, UserTable users,
        InheritedListeners inherited)
    {
        (_next, _users, _inherited) = (next, users, inherited);
        _present = present.ToDictionary(h => h.Key, StringComparer.Ordinal);
        _aliases = present.SelectMany(h => h.Aliases).DistinctBy(a => a.Path).ToDictionary(a => a.Path, StringComparer.Ordinal);
        _free = new OpenListeners(_present.Values.SelectMany(h => h.Opened.Select(o => new OpenListener(h, o))));
        _retired = new OpenListeners(retired.Where(r => r.Successor is null).Select(r => new OpenListener(r.Socket, r.Opened, r)));
    }

    /// <summary>Listeners that were retired and that the next configuration has again.</summary>
    public IEnumerable<Listener> Revived => _sockets.SelectMany(s => s.Listeners).Select(l => l.Revived).OfType<Listener>();

    /// <summary>Opens what the next configuration needs and the present one has not.</summary>
    /// <param name="sockets">The sockets that are held now.</param>
    /// <param name="retired">Retired listeners that instances still have; none is closed before the plan is committed or undone.</param>
    /// <param name="files">The files that are held now.</param>
    /// <param name="next">The next configuration, which is valid.</param>
    /// <param name="users">Of the next configuration.</param>
    /// <param name="inherited">What the service manager has passed.</param>
    /// <param name="refused">One sentence; nothing is left open then.</param>
    public static DescriptorPlan? Open(
        IReadOnlyCollection<HeldSocket> sockets, IReadOnlyCollection<Listener> retired, IReadOnlyCollection<HeldFile> files,
        SupervisorDefinition next, UserTable users, InheritedListeners inherited, out string? refused)
    {
        DescriptorPlan plan = new(sockets, retired, next, users, inherited);
        try
        {
            refused = plan.OpenSockets() ?? plan.OpenFiles(files);
        }
        catch (Exception failed) when (failed is StartRefusedException or SystemCallException)
        {
            refused = Defect.Describe(failed);
        }
        if (refused is null)
            return plan;
        plan.Undo();
        return null;
    }

    /// <summary>
    /// Changes the settings of what stays open, puts new sockets at their paths, and gives everything to the table. Null: done; else why
    /// not, with everything as it was and what was opened closed.
    /// </summary>
    /// <param name="table">To be called on the loop. The names and places in the table are those that <see cref="Open"/> saw.</param>
    /// <param name="opened">The listeners that are new in it.</param>
    public string? Commit(DescriptorTable table, out ImmutableArray<(string Key, OpenedListener Listener)> opened)
    {
        opened = [];
        Stack<Action> undo = new();
        foreach (PlannedSocket socket in _sockets)
        {
            foreach (PlannedListener listener in socket.Listeners)
            {
                if (Switch(table, socket, listener, undo) is not { } failure)
                    continue;
                while (undo.TryPop(out Action? back))
                    back();
                Undo();
                return $"sockets.{socket.Definition.Key}: {failure}";
            }
        }
        List<HeldSocket> held = [];
        List<(string, OpenedListener)> fresh = [];
        foreach (PlannedSocket socket in _sockets)
        {
            ImmutableArray<OpenedListener> listeners = [.. socket.Listeners.Select(l => l.Result(table.FindSocket))];
            fresh.AddRange(socket.Listeners.Index().Where(l => l.Item.IsOpened).Select(l => (socket.Definition.Key, listeners[l.Index])));
            held.Add(new HeldSocket(socket.Definition, socket.Request, listeners, socket.Aliases));
        }
        opened = [.. fresh];
        RemoveAliases(table, held);
        table.Exchange(_next.Services, _users, held, _files, [.. Retire(table)]);
        foreach (PlannedListener listener in _sockets.SelectMany(s => s.Listeners))
            listener.Replacement?.Finish();
        return null;
    }

    /// <summary>The listeners of the table that <see cref="Commit"/> will take out of it.</summary>
    public IEnumerable<Listener> Leaving(DescriptorTable table)
    {
        HashSet<FileDescriptor> stay = [.. _sockets.SelectMany(s => s.Listeners).Select(l => l.Result(table.FindSocket).Descriptor)];
        return table.Configured.Where(l => !stay.Contains(l.Descriptor));
    }

    /// <summary>Closes what was opened: the reload does not take place.</summary>
    public void Undo()
    {
        foreach (OwnedPath alias in _madeAliases)
            _ = UnixPath.RemoveIfOurs(alias, out _);
        // The last first: a shard shares the port of one before it.
        foreach (PlannedListener listener in _sockets.SelectMany(s => s.Listeners).Reverse())
            listener.Undo();
        foreach (FileDescriptor file in _openedFiles)
            file.Dispose();
        // Removes the directories only if they are still empty: another process may have put a file there.
        for (int i = _missingDirectories.Count - 1; i >= 0; i--)
        {
            if (!ParentDirectory.Open(_missingDirectories[i], directoryMode: null, "").TryGet(out ParentDirectory? parent, out _))
                continue;
            using ParentDirectory held = parent;
            _ = Files.Unlink(parent.Directory, parent.Name, isDirectory: true);
        }
    }

    private string? OpenSockets()
    {
        HashSet<string> acceptedFrom = DescriptorTable.AcceptedFrom(_next);
        foreach (ListenerDefinition listener in _next.Listeners)
        {
            PlannedSocket planned = new(listener, DescriptorTable.RequestFor(listener, acceptedFrom, _users));
            for (int address = 0; address < listener.Addresses.Length; address++)
            {
                for (int shard = 0; shard < Math.Max(1, listener.ShardCount); shard++)
                    planned.Listeners.Add(new PlannedListener(address, shard));
            }
            _sockets.Add(planned);
            foreach (string path in listener.Addresses.Select(a => a.Path).OfType<string>().Concat(listener.Symlinks))
                NoteMissingDirectories(path);
        }
        // Listeners with the same name are matched first: the listener of port 0 under one name must not go
        // to another name that also wants any port.
        foreach (bool sameName in (ReadOnlySpan<bool>)[true, false])
        {
            foreach (PlannedSocket socket in _sockets)
            {
                foreach (PlannedListener listener in socket.Listeners.Where(l => l.Place is null))
                    Match(socket, listener, sameName);
            }
        }
        // The file has an address again while the last instances that had it still finish: its socket is still open.
        foreach (PlannedSocket socket in _sockets)
        {
            foreach (PlannedListener listener in socket.Listeners.Where(l => l.Place is null))
                Revive(socket, listener);
        }
        foreach (PlannedSocket socket in _sockets)
        {
            foreach (PlannedListener listener in socket.Listeners)
            {
                if (OpenOne(socket, listener) is { } failure)
                    return $"sockets.{socket.Definition.Key}: {failure}";
            }
            if (MakeAliases(socket) is { } aliasFailure)
                return $"sockets.{socket.Definition.Key}: {aliasFailure}";
        }
        return null;
    }

    private void NoteMissingDirectories(string path)
    {
        int at = _missingDirectories.Count;
        for (string? parent = Path.GetDirectoryName(path);
            parent is not null && FileStatus.ReadFollow(parent, out _) != Errno.None;
            parent = Path.GetDirectoryName(parent))
        {
            if (_isMissing.Add(parent))
                _missingDirectories.Insert(at, parent);
        }
    }

    private void Match(PlannedSocket socket, PlannedListener listener, bool sameName)
    {
        ListenAddress address = socket.Definition.Addresses[listener.Address];
        if (!_free.TryFind(address, listener.Shard, sameName ? socket.Definition.Key : null, out OpenListener? open))
            return;
        OpenListeners.Take(open);
        listener.Place = new ListenerPlace(open.Socket.Key, open.Socket.Opened.IndexOf(open.Listener));
        listener.Former = open.Socket.Request;
    }

    private void Revive(PlannedSocket socket, PlannedListener listener)
    {
        if (!_retired.TryFind(socket.Definition.Addresses[listener.Address], listener.Shard, socket: null, out OpenListener? open))
            return;
        // A Unix socket that was shut down when it was retired (ListenerIntake.End) cannot be used again: its
        // name is free when its last holder is over.
        if (open.Socket.EndpointOf(open.Listener) is ListenAddress.Unix && !ListenerState.IsAlive(open.Listener.Descriptor))
            return;
        OpenListeners.Take(open);
        listener.Revived = open.Retired;
        listener.Former = open.Socket.Request;
    }

    private OpenFailure? OpenOne(PlannedSocket socket, PlannedListener listener)
    {
        OpenedListener? former = listener.Present(_present.GetValueOrDefault);
        if (former is not null && !ListenerChange.NeedsNewSocket(listener.Former!.Options, socket.Request.Options))
            return null;
        ListenAddress endpoint = socket.EndpointOf(listener);
        List<OpenedListener> beside = [];
        if (former is not null)
            endpoint = ListenerRepair.Bound(endpoint, former);
        if (listener.Shard > 0)
        {
            // The other shards share the port of the first one, wherever that came from.
            OpenedListener first = socket.FirstShardOf(listener).Result(_present.GetValueOrDefault);
            endpoint = ListenerRepair.Bound(endpoint, first);
            beside.Add(first);
        }
        // Our own open listeners that are in the way and will be closed.
        beside.AddRange(_free.InTheWayOf(endpoint).Concat(_retired.InTheWayOf(endpoint)).Select(o => o.Listener));
        OpenFailure? failure;
        if (endpoint is ListenAddress.Inherited passed)
        {
            if (_inherited.Open(passed, socket.Request).TryGet(out OpenedListener? taken, out failure))
                listener.Fresh = taken;
        }
        else if (former is null && beside.Count == 0)
        {
            if (ListenerOpener.OpenOne(endpoint, socket.Request).TryGet(out OpenedListener? opened, out failure))
                listener.Fresh = opened;
        }
        else if (ReplacementListener.Open(endpoint, socket.Request, former, beside)
            .TryGet(out ReplacementListener? replacement, out failure))
        {
            listener.Replacement = replacement;
        }
        return failure;
    }

    private OpenFailure? MakeAliases(PlannedSocket socket)
    {
        string? target = socket.Definition.Addresses.Select(a => a.Path).FirstOrDefault(p => p is not null);
        foreach (string alias in socket.Definition.Symlinks)
        {
            if (!_aliases.TryGetValue(alias, out OwnedPath? there) || Files.ReadLink(null, alias) != target)
            {
                if (!UnixPath.MakeAlias(alias, target!, socket.Definition.DirectoryMode).TryGet(out there, out OpenFailure? failure))
                    return failure;
                _madeAliases.Add(there);
            }
            socket.Aliases = socket.Aliases.Add(there);
        }
        return null;
    }

    private string? OpenFiles(IReadOnlyCollection<HeldFile> held)
    {
        ILookup<string, ServiceDefinition> readers = DescriptorTable.ReadersOf(_next);
        Dictionary<FileDefinition, FileDescriptor?> present =
            held.DistinctBy(h => h.Definition).ToDictionary(h => h.Definition, h => h.Descriptor);
        foreach (FileDefinition file in _next.Files)
        {
            FileDescriptor? descriptor = present.GetValueOrDefault(file);
            if (descriptor is null && DescriptorTable.IsSharedFile(file))
            {
                Credentials? user = DescriptorTable.UserOf(readers[file.Key], _users);
                if (!HeldFile.Open(file, _users, user).TryGet(out descriptor, out OpenFailure? failure))
                    return $"files.{file.Key}: {failure}";
                _openedFiles.Add(descriptor);
            }
            _files.Add(new HeldFile(file, descriptor));
        }
        return null;
    }

    /// <summary>Does the step of one listener that other processes can see. Its undo goes onto the stack.</summary>
    private static OpenFailure? Switch(DescriptorTable table, PlannedSocket socket, PlannedListener listener, Stack<Action> undo)
    {
        // The replacement's own Undo puts an exchanged path back.
        if (listener.Replacement is { } replacement)
            return replacement.Take(isAlone: socket.Definition.ShardCount == 0);
        if (listener.Present(table.FindSocket) is not { } open || !ListenerChange.IsNeeded(listener.Former!, socket.Request))
            return null;
        ListenAddress endpoint = socket.EndpointOf(listener);
        ListenerRequest former = listener.Former!;
        // Pushed before the change, because a failed change may have changed a part of the settings.
        undo.Push(() => ListenerChange.Apply(open, endpoint, socket.Request, former));
        return ListenerChange.Apply(open, endpoint, former, socket.Request);
    }

    private IEnumerable<Retirement> Retire(DescriptorTable table)
    {
        Dictionary<FileDescriptor, FileDescriptor> successors = [];
        foreach (PlannedListener listener in _sockets.SelectMany(s => s.Listeners).Where(l => l.Replacement is not null))
        {
            if (listener.Present(table.FindSocket) is { } former)
                _ = successors.TryAdd(former.Descriptor, listener.Replacement!.Listener.Descriptor);
        }
        foreach (Listener listener in Leaving(table))
        {
            FileDescriptor? successor = successors.GetValueOrDefault(listener.Descriptor);
            yield return new Retirement(listener, listener.Socket.Definition.RemoveOnStop, successor);
        }
    }

    private static void RemoveAliases(DescriptorTable table, List<HeldSocket> next)
    {
        HashSet<string> stay = [.. next.SelectMany(s => s.Aliases).Select(a => a.Path)];
        IEnumerable<OwnedPath> removable = table.Sockets.Where(s => s.Definition.RemoveOnStop).SelectMany(s => s.Aliases);
        foreach (OwnedPath alias in removable.Where(a => !stay.Contains(a.Path)))
            _ = UnixPath.RemoveIfOurs(alias, out _);
    }
}
