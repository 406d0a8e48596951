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

/// <summary>What a reload does with a listener that the next configuration has not.</summary>
/// <param name="Listener">Configured so far.</param>
/// <param name="RemovesPath">Whether its path is unlinked when it is closed, if it is still its own.</param>
/// <param name="Successor">Where the kernel leads its clients meanwhile; null: nowhere.</param>
internal sealed record Retirement(Listener Listener, bool RemovesPath, FileDescriptor? Successor);

/// <summary>
/// The listeners and files of the configuration, opened at start or at a reload and held until they are taken out. Owns them all.
/// </summary>
internal sealed class DescriptorTable : IDisposable
{
    private readonly Dictionary<string, HeldSocket> _sockets = [];
    private readonly Dictionary<string, HeldFile> _files = [];
    private readonly HashSet<FileDescriptor> _openFiles = [];

    // All that are open: configured and retired.
    private readonly Dictionary<FileDescriptor, Listener> _listeners = [];
    private readonly HashSet<Listener> _retired = [];

    // Listeners that may have lost the last who needs them.
    private readonly List<Listener> _unclaimed = [];

    private DescriptorTable(UserTable users, InheritedListeners inherited)
    {
        Users = users;
        Inherited = inherited;
        Provisions = new Provisions(Claim, ReleaseClaim, CloseFile);
    }

    /// <summary>
    /// A reload has looked at it on another thread and is about to exchange it: until then nothing is made anew or closed.
    /// </summary>
    public bool IsAboutToChange { get; set; }

    /// <summary>Users and groups of the present configuration.</summary>
    public UserTable Users { get; private set; }

    /// <summary>What the service manager has passed.</summary>
    public InheritedListeners Inherited { get; }

    /// <summary>What each definition is started with.</summary>
    public Provisions Provisions { get; }

    /// <summary>All that is held for the present configuration.</summary>
    public IReadOnlyCollection<HeldSocket> Sockets => _sockets.Values;

    /// <summary>The listeners of the present configuration, in no order.</summary>
    public IEnumerable<Listener> Configured => _listeners.Values.Where(l => l.IsConfigured);

    public IReadOnlyCollection<HeldFile> Files => _files.Values;

    /// <summary>What stays open only for those who were given it.</summary>
    public IReadOnlyCollection<Listener> Retired => _retired;

    /// <summary>Called when other listeners are configured than before. Null: nobody wants to know.</summary>
    public Action? OnChanged { get; set; }

    /// <summary>Paths stay when everything is closed at the end: somebody else keeps the sockets for the next supervisor.</summary>
    public bool LeavesPaths { get; set; }

    /// <summary>
    /// Paths that a supervisor before this one has made are removed at the end like those of this one: nobody comes after this one.
    /// </summary>
    public bool OwnsAdoptedPaths { get; set; }

    /// <summary>Opens everything. On a refusal what was opened is closed again, and nothing is left on disk.</summary>
    /// <param name="definition">The configuration.</param>
    /// <param name="users">Of that configuration.</param>
    /// <param name="inherited">What the service manager has passed; borrowed.</param>
    /// <param name="forget">Has the manager forget what it has stored by these names; called before anything is opened.</param>
    /// <param name="takeFile">Gives a file away that was open for this configuration before, by its key; null: there is none.</param>
    public static DescriptorTable Open(SupervisorDefinition definition, UserTable users, InheritedListeners inherited,
        Action<IReadOnlyList<string>> forget, Func<string, FileDescriptor?>? takeFile = null)
    {
        DescriptorTable table = new(users, inherited);
        try
        {
            HashSet<string> acceptedFrom = AcceptedFrom(definition);
            (ListenerDefinition Listener, ListenerRequest Request)[] sockets =
                [.. definition.Listeners.Select(l => (l, RequestFor(l, acceptedFrom, users)))];
            inherited.Adopt(sockets.Select(s => (s.Listener.Key, s.Request)));
            if (inherited.DiscardLeft() is { Count: > 0 } names)
                forget(names);
            foreach ((ListenerDefinition listener, ListenerRequest request) in sockets)
                table.OpenListener(listener, request);
            ILookup<string, ServiceDefinition> readers = ReadersOf(definition);
            foreach (FileDefinition file in definition.Files)
            {
                FileDescriptor? shared = !IsSharedFile(file) ? null
                    : takeFile?.Invoke(file.Key) is { } held ? held
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

    public HeldSocket? FindSocket(string key) => _sockets.GetValueOrDefault(key);

    /// <summary>As <see cref="Provisions.AdoptFormer"/>, with what is open for the present configuration.</summary>
    public void AdoptFormer(ServiceDefinition former)
    {
        Users.Add(former);
        Provisions.AdoptFormer(former, Users, FindSocket, _files.GetValueOrDefault);
    }

    /// <summary>A listener that is open. Null: the descriptor is of none, or of one that was closed.</summary>
    public Listener? Find(FileDescriptor descriptor) => _listeners.GetValueOrDefault(descriptor);

    /// <exception cref="InvalidOperationException">What is started with it would find it closed: a defect of ours.</exception>
    public Listener this[OpenedListener opened] => Find(opened.Descriptor)
        ?? throw new InvalidOperationException($"the listener at {opened.Address} is started with, and not in the table");

    /// <summary>An instance is born with a listener, which stays open until <see cref="TakeBack"/>.</summary>
    public void Give(RunningInstance instance, OpenedListener listener)
    {
        instance.Given.Add(listener.Descriptor);
        this[listener].AddHolder(instance);
    }

    /// <summary>An instance is over, or was not born after all.</summary>
    public void TakeBack(RunningInstance instance)
    {
        foreach (FileDescriptor descriptor in instance.Given)
        {
            Listener listener = _listeners[descriptor];
            listener.RemoveHolder(instance);
            NoteIfUnused(listener);
        }
        instance.Given.Clear();
    }

    /// <summary>Another configuration holds from now on: takes its sockets and files, and retires or closes what it has no more.</summary>
    /// <param name="services">Of the new configuration.</param>
    /// <param name="users">Of the new configuration.</param>
    /// <param name="socketsTaken">All of the new configuration, those that stay open included.</param>
    /// <param name="filesTaken">The same.</param>
    /// <param name="retirements">Of those of the old configuration that are in none of the new.</param>
    public void Exchange(IEnumerable<ServiceDefinition> services, UserTable users, IReadOnlyCollection<HeldSocket> socketsTaken,
        IReadOnlyCollection<HeldFile> filesTaken, IReadOnlyCollection<Retirement> retirements)
    {
        foreach (Retirement retirement in retirements)
            Retire(retirement);
        _sockets.Clear();
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
        foreach (Retirement retirement in retirements)
        {
            if (retirement.Successor is { } successor && Find(successor) is { IsConfigured: true } next)
                replaced.Add(retirement.Listener.Descriptor, next.Opened);
        }
        Provisions.Replace(replaced);
        foreach (FileDescriptor file in before)
            CloseFile(file);
        OnChanged?.Invoke();
    }

    /// <summary>A listener was made anew at its place; the former one stays for those who have it.</summary>
    /// <returns>The new one.</returns>
    public Listener Replace(Listener former, OpenedListener nextTaken)
    {
        HeldSocket socket = former.Socket;
        Retire(new Retirement(former, RemovesPath: false, nextTaken.Descriptor));
        Put(socket with { Opened = socket.Opened.Replace(former.Opened, nextTaken) });
        Provisions.Replace(new Dictionary<FileDescriptor, OpenedListener> { [former.Descriptor] = nextTaken });
        OnChanged?.Invoke();
        return this[nextTaken];
    }

    /// <summary>The symbolic links of a socket were made again.</summary>
    public void PutAliases(HeldSocket socket, ImmutableArray<OwnedPath> aliases)
    {
        if (_sockets.GetValueOrDefault(socket.Key) == socket)
            Put(socket with { Aliases = aliases });
    }

    /// <summary>Takes the retired listeners that nobody has any more; they are the caller's then.</summary>
    public IReadOnlyList<Listener> TakeUnused()
    {
        if (_unclaimed.Count == 0)
            return [];
        List<Listener> unused = [];
        foreach (Listener listener in _unclaimed)
        {
            if (listener.IsUnused && _listeners.Remove(listener.Descriptor))
            {
                _ = _retired.Remove(listener);
                unused.Add(listener);
            }
        }
        _unclaimed.Clear();
        return unused;
    }

    public void Dispose()
    {
        Provisions.Clear();
        foreach (HeldSocket socket in _sockets.Values)
        {
            if (socket.Definition.RemoveOnStop && !LeavesPaths)
            {
                ImmutableArray<OpenedListener> opened =
                    OwnsAdoptedPaths ? [.. socket.Opened.Select(o => o with { IsAdopted = false })] : socket.Opened;
                new OpenedListeners(opened, socket.Aliases).Undo();
                continue;
            }
            foreach (OpenedListener listener in socket.Opened)
                listener.Descriptor.Dispose();
        }
        foreach (Listener retired in _retired)
            retired.Close();
        foreach (FileDescriptor file in _openFiles)
            file.Dispose();
        _sockets.Clear();
        _listeners.Clear();
        _files.Clear();
        _openFiles.Clear();
        _retired.Clear();
    }

    /// <summary>
    /// The sockets from which the supervisor itself accepts: there a client that left between the
    /// wake-up and the call must not make it wait.
    /// </summary>
    public static HashSet<string> AcceptedFrom(SupervisorDefinition definition) =>
        [.. definition.Services.Where(s => s.Start == StartKind.Connection).SelectMany(s => s.Sockets)];

    /// <summary>How a socket is opened.</summary>
    /// <exception cref="StartRefusedException">Its user or group does not exist.</exception>
    public static ListenerRequest RequestFor(ListenerDefinition listener, HashSet<string> acceptedFrom, UserTable users) =>
        ModelMapper.ToRequest(
            listener, acceptedFrom.Contains(listener.Key), users.OwnerOf($"sockets.{listener.Key}", listener.User, listener.Group));

    /// <summary>Whether one open file description is shared by all, as against one for each instance.</summary>
    public static bool IsSharedFile(FileDefinition file) =>
        file is not (FileDefinition.Connected or FileDefinition.Opened { Reopen: true });

    /// <summary>The services that get a file, by its key.</summary>
    public static ILookup<string, ServiceDefinition> ReadersOf(SupervisorDefinition definition) =>
        definition.Services.SelectMany(s => s.Files.Distinct().Select(file => (file, s)))
            .ToLookup(r => r.file, r => r.s, StringComparer.Ordinal);

    /// <summary>
    /// Whose rights count for a file that is shared, where root's do not: those of the services that get it, if they have the same user.
    /// </summary>
    public static Credentials? UserOf(IEnumerable<ServiceDefinition> readers, UserTable users)
    {
        Credentials?[] all = [.. readers.Select(s => users[s.Execution].Credentials)];
        return all.Length > 0 && all.All(u => u?.Uid == all[0]?.Uid && u?.Gid == all[0]?.Gid) ? all[0] : null;
    }

    private void Provide(IEnumerable<ServiceDefinition> services) =>
        Provisions.Adopt(services, Users, key => _sockets[key], key => _files[key], SuccessorOf);

    // A socket that has another name now is still what it was. One that went, while its name stayed, was
    // moved: that is where clients go from now on.
    private HeldSocket SuccessorOf(HeldSocket former) =>
        former.Opened.Any(o => Find(o.Descriptor) is { IsConfigured: true })
            || !_sockets.TryGetValue(former.Key, out HeldSocket? next) ? former : next;

    private void Retire(Retirement retirement)
    {
        retirement.Listener.Retire(retirement.RemovesPath, retirement.Successor);
        _retired.Add(retirement.Listener);
        _unclaimed.Add(retirement.Listener);
    }

    private void Claim(FileDescriptor listener) => _listeners[listener].Claim();

    private void ReleaseClaim(FileDescriptor listener)
    {
        Listener released = _listeners[listener];
        released.ReleaseClaim();
        NoteIfUnused(released);
    }

    private void NoteIfUnused(Listener listener)
    {
        if (listener.IsUnused)
            _unclaimed.Add(listener);
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
        foreach (OpenedListener opened in socket.Opened)
        {
            if (_listeners.TryGetValue(opened.Descriptor, out Listener? listener))
                listener.Configure(socket, opened);
            else
                _listeners.Add(opened.Descriptor, listener = new Listener(socket, opened));
            _ = _retired.Remove(listener);
        }
    }

    private void Put(HeldFile file)
    {
        _files.Add(file.Definition.Key, file);
        if (file.Descriptor is { } open)
            _ = _openFiles.Add(open);
    }

    private void OpenListener(ListenerDefinition listener, ListenerRequest request)
    {
        OpenResult<OpenedListeners> opened = ListenerOpener.Open(
            request, (address, endpoint, shard) => Inherited.Find(listener.Key, request, address, endpoint, shard));
        if (!opened.TryGet(out OpenedListeners? listeners, out OpenFailure? failure))
            throw Refuse($"sockets.{listener.Key}", failure);
        Put(new HeldSocket(listener, request, listeners.Listeners, listeners.Aliases));
    }

    private static StartRefusedException Refuse(string what, OpenFailure failure) =>
        new($"{what}: {failure}",
            failure.Errno == Errno.EACCES || failure.Errno == Errno.EPERM ? ExitCode.NotPermitted : ExitCode.SystemRefused);
}
