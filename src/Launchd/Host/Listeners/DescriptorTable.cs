using System.Collections.Immutable;
using Launchd.Client;
using Launchd.Control;
using Launchd.Host.Instances;
using Launchd.Host.Provisioning;
using Launchd.Host.Reporting;
using Launchd.Linux.Calls;
using Launchd.Linux.Listening;
using Launchd.Linux.Paths;
using Launchd.Model;

namespace Launchd.Host.Listeners;

/// <summary>
/// A listener that the configuration has no more, or that was made anew. It stays open until the last instance that was given it has
/// ended: clients in its queue are served by that one.
/// </summary>
/// <param name="Socket">As it was held.</param>
/// <param name="Listener">Owned.</param>
/// <param name="RemovePath">Whether its path is to be unlinked, if it is still its own.</param>
/// <param name="Successor">Where clients are led to at the kernel meanwhile; null: nowhere.</param>
internal sealed record RetiredListener(HeldSocket Socket, OpenedListener Listener, bool RemovePath, FileDescriptor? Successor);

/// <summary>The listeners and files of the configuration, opened at start or at a reload and held until they are taken out. Owns them all.</summary>
internal sealed class DescriptorTable : IDisposable
{
    private readonly Dictionary<string, HeldSocket> _sockets = [];
    private readonly Dictionary<string, HeldFile> _files = [];
    private readonly HashSet<FileDescriptor> _openFiles = [];
    private readonly Dictionary<FileDescriptor, RetiredListener> _retired = [];

    // Who was given which listener and has not ended; and listeners and files that may have lost the last who needs them.
    private readonly Dictionary<FileDescriptor, List<RunningInstance>> _holders = [];
    private readonly List<FileDescriptor> _unclaimed = [];

    // Which socket a listener belongs to: asked for each of thousands when the loop begins to watch them.
    private readonly Dictionary<FileDescriptor, string> _owners = [];

    private DescriptorTable(UserTable users)
    {
        Users = users;
        Provisions = new Provisions(_unclaimed.Add, CloseFile);
    }

    /// <summary>A reload has looked at it on another thread and is about to exchange it: until then nothing is made anew or closed.</summary>
    public bool IsAboutToChange { get; set; }

    /// <summary>Users and groups of the present configuration.</summary>
    public UserTable Users { get; private set; }

    /// <summary>What each definition is started with.</summary>
    public Provisions Provisions { get; }

    /// <summary>All that is held for the present configuration.</summary>
    public IReadOnlyCollection<HeldSocket> Sockets => _sockets.Values;

    public IEnumerable<(ListenerDefinition Definition, ImmutableArray<OpenedListener> Opened)> Listeners =>
        _sockets.Values.Select(s => (s.Definition, s.Opened));

    public IEnumerable<(FileDefinition Definition, FileDescriptor? Descriptor)> Files => _files.Values.Select(f => (f.Definition, f.Descriptor));

    /// <summary>What stays open only for those who were given it.</summary>
    public IReadOnlyCollection<RetiredListener> Retired => _retired.Values;

    /// <summary>Opens everything. On a refusal what was opened is closed again, and nothing is left on disk.</summary>
    public static DescriptorTable Open(SupervisorDefinition definition, UserTable users)
    {
        DescriptorTable table = new(users);
        try
        {
            HashSet<string> acceptedFrom = AcceptedFrom(definition);
            foreach (ListenerDefinition listener in definition.Listeners)
                table.OpenListener(listener, RequestFor(listener, acceptedFrom, users));
            ILookup<string, ServiceDefinition> readers = ReadersOf(definition);
            foreach (FileDefinition file in definition.Files)
            {
                FileDescriptor? shared = !IsSharedFile(file) ? null
                    : HeldFile.Open(file, users, UserOf(readers[file.Key], users)).ValueOr(f => throw Refuse($"files.{file.Key}", f));
                table.Put(new HeldFile(file, shared));
            }
            table.Provide(definition.Services);
            return table;
        }
        catch
        {
            table.Dispose();
            throw;
        }
    }

    public (ListenerDefinition Definition, ImmutableArray<OpenedListener> Opened) this[string key] => (_sockets[key].Definition, _sockets[key].Opened);

    public HeldSocket? FindSocket(string key) => _sockets.GetValueOrDefault(key);

    /// <summary>A listener of the present configuration, and the socket that it belongs to. Null: it is none, or none any more.</summary>
    public (HeldSocket Socket, OpenedListener Listener)? FindListener(FileDescriptor descriptor)
    {
        if (!_owners.TryGetValue(descriptor, out string? key))
            return null;
        HeldSocket socket = _sockets[key];
        return (socket, socket.Opened.First(l => l.Descriptor == descriptor));
    }

    public RetiredListener? FindRetired(FileDescriptor listener) => _retired.GetValueOrDefault(listener);

    /// <summary>Instances that were given a listener and are not over.</summary>
    public IReadOnlyList<RunningInstance> HoldersOf(FileDescriptor listener) =>
        _holders.TryGetValue(listener, out List<RunningInstance>? holders) ? holders : [];

    /// <summary>An instance is born with a listener, which stays open until <see cref="TakeBack"/>.</summary>
    public void Give(RunningInstance instance, FileDescriptor listener)
    {
        instance.Given.Add(listener);
        if (!_holders.TryGetValue(listener, out List<RunningInstance>? holders))
            _holders.Add(listener, holders = new List<RunningInstance>(1));
        holders.Add(instance);
    }

    /// <summary>An instance is over, or was not born after all.</summary>
    public void TakeBack(RunningInstance instance)
    {
        foreach (FileDescriptor listener in instance.Given)
        {
            List<RunningInstance> holders = _holders[listener];
            holders.Remove(instance);
            if (holders.Count > 0)
                continue;
            _holders.Remove(listener);
            if (_retired.ContainsKey(listener))
                _unclaimed.Add(listener);
        }
        instance.Given.Clear();
    }

    /// <summary>Another configuration holds from now on: takes its sockets and files, and retires or closes what it has no more.</summary>
    /// <param name="services">Of the new configuration.</param>
    /// <param name="users">Of the new configuration.</param>
    /// <param name="socketsTaken">All of the new configuration, those that stay open included.</param>
    /// <param name="filesTaken">The same.</param>
    /// <param name="retiredTaken">Listeners of the old one that are in none of the new.</param>
    /// <param name="revived">Retired ones that are among <paramref name="socketsTaken"/> now.</param>
    public void Exchange(IEnumerable<ServiceDefinition> services, UserTable users, IReadOnlyCollection<HeldSocket> socketsTaken,
        IReadOnlyCollection<HeldFile> filesTaken, IReadOnlyCollection<RetiredListener> retiredTaken, IEnumerable<RetiredListener> revived)
    {
        foreach (RetiredListener back in revived)
            _retired.Remove(back.Listener.Descriptor);
        _sockets.Clear();
        _owners.Clear();
        foreach (HeldSocket socket in socketsTaken)
            Put(socket);
        FileDescriptor[] before = [.. _openFiles];
        _files.Clear();
        _openFiles.Clear();
        foreach (HeldFile file in filesTaken)
            Put(file);
        Users = users;
        Provide(services);
        // Where another was opened in its place, that is what a former definition is started with as well: clients go there.
        Dictionary<FileDescriptor, OpenedListener> replaced = [];
        foreach (RetiredListener retired in retiredTaken)
        {
            if (retired.Successor is { } successor && FindListener(successor) is var (_, next))
                replaced.Add(retired.Listener.Descriptor, next);
        }
        Provisions.Replace(replaced);
        foreach (RetiredListener retired in retiredTaken)
            Retire(retired);
        foreach (FileDescriptor file in before)
            CloseFile(file);
    }

    /// <summary>A listener was made anew at its place; the former one stays for those who have it.</summary>
    public void Replace(HeldSocket socket, OpenedListener former, OpenedListener next, FileDescriptor? successor)
    {
        _owners.Remove(former.Descriptor);
        Put(socket with { Opened = socket.Opened.Replace(former, next) });
        Provisions.Replace(new Dictionary<FileDescriptor, OpenedListener> { [former.Descriptor] = next });
        Retire(new RetiredListener(socket, former, RemovePath: false, successor));
    }

    /// <summary>Takes the retired listeners that nobody has any more; they are the caller's then.</summary>
    public IReadOnlyList<RetiredListener> TakeUnused()
    {
        if (_unclaimed.Count == 0)
            return [];
        List<RetiredListener> unused = [];
        foreach (FileDescriptor listener in _unclaimed)
        {
            bool isNeeded = _holders.ContainsKey(listener) || Provisions.IsClaimed(listener);
            if (!isNeeded && _retired.Remove(listener, out RetiredListener? retired))
                unused.Add(retired);
        }
        _unclaimed.Clear();
        return unused;
    }

    public void Dispose()
    {
        Provisions.Clear();
        foreach (HeldSocket socket in _sockets.Values)
        {
            if (socket.Definition.RemoveOnStop)
            {
                new OpenedListeners(socket.Opened, socket.Aliases).Undo();
                continue;
            }
            foreach (OpenedListener listener in socket.Opened)
                listener.Descriptor.Dispose();
        }
        foreach (RetiredListener retired in _retired.Values)
            Close(retired);
        foreach (HeldFile file in _files.Values)
            file.Descriptor?.Dispose();
        _sockets.Clear();
        _owners.Clear();
        _files.Clear();
        _openFiles.Clear();
        _retired.Clear();
    }

    /// <summary>Closes a listener that was taken out of the table, and unlinks its path while that is its own.</summary>
    public static void Close(RetiredListener retired)
    {
        if (retired.RemovePath && retired.Listener.Path is { } path)
            _ = UnixPath.RemoveIfOurs(path, out _);
        retired.Listener.Descriptor.Dispose();
        if (retired.Successor is { IsClosed: false } successor)
            ReplacementListener.EndSteering(successor);
    }

    /// <summary>
    /// The sockets from which the supervisor itself accepts: there a client that left between the wake-up and the call must not make it wait.
    /// </summary>
    public static HashSet<string> AcceptedFrom(SupervisorDefinition definition) =>
        [.. definition.Services.Where(s => s.Start == StartKind.Connection).SelectMany(s => s.Sockets)];

    /// <summary>How a socket is opened.</summary>
    /// <exception cref="StartRefusedException">Its user or group does not exist.</exception>
    public static ListenerRequest RequestFor(ListenerDefinition listener, HashSet<string> acceptedFrom, UserTable users) =>
        ModelMapper.ToRequest(listener, acceptedFrom.Contains(listener.Key), users.OwnerOf($"sockets.{listener.Key}", listener.User, listener.Group));

    /// <summary>Whether one open file description is shared by all, as against one for each instance.</summary>
    public static bool IsSharedFile(FileDefinition file) => file is not (FileDefinition.Connected or FileDefinition.Opened { Reopen: true });

    /// <summary>The services that get a file, by its key.</summary>
    public static ILookup<string, ServiceDefinition> ReadersOf(SupervisorDefinition definition) =>
        definition.Services.SelectMany(s => s.Files.Distinct().Select(file => (file, s))).ToLookup(r => r.file, r => r.s, StringComparer.Ordinal);

    /// <summary>Whose rights count for a file that is shared, where root's do not: those of the services that get it, if they have the same user.</summary>
    public static Credentials? UserOf(IEnumerable<ServiceDefinition> readers, UserTable users)
    {
        Credentials?[] all = [.. readers.Select(s => users[s.Execution].Credentials)];
        return all.Length > 0 && all.All(u => u?.Uid == all[0]?.Uid && u?.Gid == all[0]?.Gid) ? all[0] : null;
    }

    private void Provide(IEnumerable<ServiceDefinition> services) =>
        Provisions.Adopt(services, Users, key => _sockets[key], key => _files[key], SuccessorOf);

    // A socket that has another name now is still what it was. One that went, while its name stayed, was moved: that is where clients go from now on.
    private HeldSocket SuccessorOf(HeldSocket former) =>
        former.Opened.Any(o => _owners.ContainsKey(o.Descriptor)) || !_sockets.TryGetValue(former.Key, out HeldSocket? next) ? former : next;

    private void Retire(RetiredListener retired)
    {
        _retired.Add(retired.Listener.Descriptor, retired);
        _unclaimed.Add(retired.Listener.Descriptor);
    }

    /// <summary>Unless the configuration or a former definition has it. Those who were given it have their own copy.</summary>
    private void CloseFile(FileDescriptor file)
    {
        if (!Provisions.IsFileClaimed(file) && !_openFiles.Contains(file))
            file.Dispose();
    }

    private void Put(HeldSocket socket)
    {
        _sockets[socket.Key] = socket;
        foreach (OpenedListener listener in socket.Opened)
            _owners[listener.Descriptor] = socket.Key;
    }

    private void Put(HeldFile file)
    {
        _files.Add(file.Definition.Key, file);
        if (file.Descriptor is { } open)
            _ = _openFiles.Add(open);
    }

    private void OpenListener(ListenerDefinition listener, ListenerRequest request)
    {
        OpenResult<OpenedListeners> opened = ListenerOpener.Open(request);
        if (!opened.TryGet(out OpenedListeners? listeners, out OpenFailure? failure))
            throw Refuse($"sockets.{listener.Key}", failure);
        Put(new HeldSocket(listener, request, listeners.Listeners, listeners.Aliases));
    }

    private static StartRefusedException Refuse(string what, OpenFailure failure) =>
        new($"{what}: {failure}", failure.Errno == Errno.EACCES || failure.Errno == Errno.EPERM ? ExitCode.NotPermitted : ExitCode.SystemRefused);
}
