using System.Diagnostics.CodeAnalysis;
using Launchd.Client;
using Launchd.Core;
using Launchd.Linux.Listening;
using Launchd.Model;

namespace Launchd.Host.Provisioning;

/// <summary>
/// The provisions of the present configuration, and those of former definitions as long as the core may start instances by them or an
/// instance of them is not over. Former ones claim their listeners and files, which stay open because of that.
/// </summary>
internal sealed class Provisions
{
    private readonly Dictionary<ServiceDefinition, Provision> _present = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<ServiceName, List<Provision>> _former = [];

    // Files of former definitions, which a running instance may still ask for, with the number of definitions that have them.
    private readonly Dictionary<FileDescriptor, int> _files = [];
    private bool _wasAdopted;
    private readonly Action<FileDescriptor> _claimListener, _releaseListener, _fileUnclaimed;

    /// <param name="claimListener">
    /// Called with a listener for each further former definition that has it and by which instances may still be started.
    /// </param>
    /// <param name="releaseListener">
    /// Called with a listener when instances may not be started by such a definition any more, or the definition has another listener.
    /// </param>
    /// <param name="fileUnclaimed">Called with a file when no former definition has it any more.</param>
    public Provisions(Action<FileDescriptor> claimListener, Action<FileDescriptor> releaseListener, Action<FileDescriptor> fileUnclaimed)
    {
        _claimListener = claimListener;
        _releaseListener = releaseListener;
        _fileUnclaimed = fileUnclaimed;
    }

    /// <exception cref="InvalidOperationException">The core knows a definition that the host does not: a bug of ours.</exception>
    public Provision this[ServiceDefinition definition] => TryFind(definition, out Provision? found) ? found
        : throw new InvalidOperationException($"service '{definition.Name}' is started by a definition that has no provision");

    public bool TryFind(ServiceDefinition definition, [NotNullWhen(true)] out Provision? found)
    {
        if (!_present.TryGetValue(definition, out found))
            found = _former.GetValueOrDefault(definition.Name)?.Find(p => ReferenceEquals(p.Definition, definition));
        return found is not null;
    }

    /// <summary>Whether a former definition has this file.</summary>
    public bool IsFileClaimed(FileDescriptor file) => _files.ContainsKey(file);

    /// <summary>
    /// Another configuration holds. Definitions that it has no more are kept as former ones until <see cref="Prune(Supervisor)"/>.
    /// </summary>
    /// <param name="services">Its services.</param>
    /// <param name="users">The users of its services.</param>
    /// <param name="socketOf">The sockets that are open for it, by key.</param>
    /// <param name="fileOf">Its files, by key.</param>
    /// <param name="successorOf">
    /// The socket that is open now in the place of one that a former definition has; the same one if that is still open.
    /// </param>
    public void Adopt(
        IEnumerable<ServiceDefinition> services, UserTable users, Func<string, HeldSocket> socketOf, Func<string, HeldFile> fileOf,
        Func<HeldSocket, HeldSocket> successorOf)
    {
        Dictionary<ServiceDefinition, Provision> before = new(_present, ReferenceEqualityComparer.Instance);
        _present.Clear();
        foreach (ServiceDefinition service in services)
        {
            // A definition that stays keeps its provision, which running instances hold.
            if (!before.Remove(service, out Provision? provision) && !TakeFormer(service, out provision))
                provision = new Provision(service) { User = users[service.Execution], Sockets = [], Files = [], Users = users };
            provision.User = users[service.Execution];
            provision.Users = users;
            provision.Sockets = [.. service.Sockets.Select(socketOf)];
            provision.Files = [.. service.Files.Select(fileOf)];
            _present.Add(service, provision);
        }
        foreach (Provision gone in before.Values)
            AddFormer(gone);
        _wasAdopted = true;
        foreach (Provision former in _former.Values.SelectMany(f => f))
            Follow(former, successorOf);
    }

    /// <summary>
    /// Adds a definition that the configuration has no more and by which instances run, or may be started: it has the sockets and files
    /// that are open under their names.
    /// </summary>
    public void AdoptFormer(ServiceDefinition former, UserTable users, Func<string, HeldSocket?> socketOf, Func<string, HeldFile?> fileOf)
    {
        if (TryFind(former, out _))
            return;
        AddFormer(new Provision(former)
        {
            User = users[former.Execution],
            Users = users,
            Sockets = [.. former.Sockets.Select(socketOf).OfType<HeldSocket>()],
            Files = [.. former.Files.Select(fileOf).OfType<HeldFile>()],
        });
    }

    private void Follow(Provision former, Func<HeldSocket, HeldSocket> successorOf)
    {
        FileDescriptor[] before = [.. ListenersOf(former)];
        former.Sockets = [.. former.Sockets.Select(successorOf)];
        if (!former.MayStart)
            return;
        foreach (FileDescriptor listener in ListenersOf(former))
            _claimListener(listener);
        foreach (FileDescriptor listener in before)
            _releaseListener(listener);
    }

    /// <summary>Listeners were made anew: instances that are started from now on get the new ones.</summary>
    /// <param name="nextOf">The new listeners by the former ones.</param>
    public void Replace(IReadOnlyDictionary<FileDescriptor, OpenedListener> nextOf)
    {
        if (nextOf.Count == 0)
            return;
        foreach (Provision provision in _present.Values)
            _ = Replace(provision, nextOf);
        foreach (Provision provision in _former.Values.SelectMany(f => f))
        {
            foreach (FileDescriptor former in Replace(provision, nextOf))
            {
                if (!provision.MayStart)
                    continue;
                _claimListener(nextOf[former].Descriptor);
                _releaseListener(former);
            }
        }
    }

    private static FileDescriptor[] Replace(Provision provision, IReadOnlyDictionary<FileDescriptor, OpenedListener> nextOf)
    {
        FileDescriptor[] replaced = [.. ListenersOf(provision).Where(nextOf.ContainsKey)];
        foreach (FileDescriptor former in replaced)
            provision.Replace(former, nextOf[former]);
        return replaced;
    }

    /// <summary>
    /// Gives up the former provisions that the core needs no more: once after another configuration was adopted those of all services,
    /// later those of the services that the last step changed.
    /// </summary>
    public void Prune(Supervisor core)
    {
        if (_former.Count == 0)
            return;
        if (!_wasAdopted)
        {
            foreach (ServiceName service in core.Changed)
                Prune(core, service);
            return;
        }
        _wasAdopted = false;
        foreach (ServiceName service in _former.Keys.ToArray())
            Prune(core, service);
    }

    private void Prune(Supervisor core, ServiceName service)
    {
        if (!_former.TryGetValue(service, out List<Provision>? former))
            return;
        for (int i = former.Count - 1; i >= 0; i--)
        {
            Provision provision = former[i];
            if (provision.MayStart && !core.MayStartBy(provision.Definition))
                EndStarts(provision);
            if (provision.MayStart || core.Knows(provision.Definition))
                continue;
            former.RemoveAt(i);
            ReleaseFiles(provision);
        }
        if (former.Count == 0)
            _former.Remove(service);
    }

    /// <summary>The supervisor ends: nothing is started any more.</summary>
    public void Clear()
    {
        foreach (Provision provision in _former.Values.SelectMany(f => f))
            ReleaseFiles(provision);
        _former.Clear();
        _present.Clear();
    }

    private void AddFormer(Provision gone)
    {
        if (!_former.TryGetValue(gone.Definition.Name, out List<Provision>? former))
            _former.Add(gone.Definition.Name, former = []);
        former.Add(gone);
        foreach (FileDescriptor listener in ListenersOf(gone))
            _claimListener(listener);
        foreach (FileDescriptor file in FilesOf(gone))
            _files[file] = _files.GetValueOrDefault(file) + 1;
    }

    /// <summary>Takes a provision out of the former ones, because a configuration has its definition again.</summary>
    private bool TakeFormer(ServiceDefinition service, [NotNullWhen(true)] out Provision? taken)
    {
        List<Provision>? former = _former.GetValueOrDefault(service.Name);
        taken = former?.Find(p => ReferenceEquals(p.Definition, service));
        if (taken is null)
            return false;
        former!.Remove(taken);
        if (taken.MayStart)
            EndStarts(taken);
        ReleaseFiles(taken);
        taken.MayStart = true;
        return true;
    }

    private void EndStarts(Provision provision)
    {
        provision.MayStart = false;
        foreach (FileDescriptor listener in ListenersOf(provision))
            _releaseListener(listener);
    }

    private void ReleaseFiles(Provision provision)
    {
        foreach (FileDescriptor file in FilesOf(provision))
        {
            if (--_files[file] > 0)
                continue;
            _ = _files.Remove(file);
            _fileUnclaimed(file);
        }
    }

    private static IEnumerable<FileDescriptor> ListenersOf(Provision provision) =>
        provision.Sockets.SelectMany(s => s.Opened).Select(o => o.Descriptor);

    private static IEnumerable<FileDescriptor> FilesOf(Provision provision) =>
        provision.Files.Select(f => f.Descriptor).OfType<FileDescriptor>();
}
