using System.Collections.Immutable;
using Launchd.Client;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Interop;
using Launchd.Linux.Listening;
using Launchd.Linux.Loop;
using Launchd.Linux.Paths;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Listeners;

/// <summary>
/// Keeps the paths of listeners, and the symbolic links that lead to them: each path gets a second name
/// (<see cref="SpareLinks"/>), and its directory is watched, one watch for all paths in it. Who hears that something happened
/// there looks at the listener (<see cref="ListenerGuard"/>).
/// </summary>
/// <remarks>
/// Directories are opened, watched and linked in beside the loop, because a file system may never answer. What the
/// kernel tells is read at most once in <see cref="Pause"/>: whoever removes a path again and again, or makes files in
/// the same directory, costs little and delays nobody.
/// </remarks>
internal sealed class ListenerPaths : IDisposable
{
    private const uint Interesting =
        Libc.IN_DELETE | Libc.IN_MOVED_FROM | Libc.IN_MOVED_TO | Libc.IN_ATTRIB | Libc.IN_DELETE_SELF | Libc.IN_MOVE_SELF
        | Libc.IN_ONLYDIR;

    /// <summary>What is told before its directory is known, while it is being watched.</summary>
    private const int MostEarly = 1024;

    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(5);

    private readonly EventLoop _loop;
    private readonly DescriptorTable _descriptors;
    private SpareLinks _links;
    private readonly SlowLanes _lanes;
    private readonly Delays _delays;
    private readonly Mailbox _mailbox;
    private readonly Counters _counters;
    private readonly ILogger _logger;
    private readonly Offload _offload;
    private readonly Inotify? _inotify;

    // By the kernel's number of the watch, then by the name in the directory.
    private readonly Dictionary<int, Dictionary<string, Listener>> _directories = [];
    private readonly List<(int Watch, string Name)> _early = [];

    // Watches that ended while another thread may have been given their numbers.
    private readonly HashSet<int> _ended = [];
    private bool _isWorking;
    private bool _isAskedAgain;

    public ListenerPaths(
        EventLoop loop, DescriptorTable descriptors, SpareLinks links, SlowLanes lanes, Mailbox mailbox, Delays delays, Counters counters,
        ILogger logger)
    {
        _loop = loop;
        _descriptors = descriptors;
        _links = links;
        _lanes = lanes;
        _delays = delays;
        _mailbox = mailbox;
        _counters = counters;
        _logger = logger;
        _offload = new Offload(mailbox);
        _inotify = Inotify.Open(out Errno refused);
        if (_inotify is not null)
            refused = loop.Watch(_inotify.Descriptor, IoReadiness.Readable, LoopPriority.Listener, _ => Read());
        if (refused != Errno.None)
            CannotWatch(refused);
    }

    /// <summary>Told of a listener at whose path, or at a link to it, something happened.</summary>
    public Action<Listener>? OnHappened { get; set; }

    /// <summary>Keeps the paths of what the table holds now.</summary>
    public void Adopt()
    {
        if (_isWorking)
        {
            _isAskedAgain = true;
            return;
        }
        foreach (Listener retired in _descriptors.Retired)
            Forget(retired);
        List<Wanted> wanted = [];
        foreach (Listener listener in _descriptors.Configured)
        {
            if (listener.Opened.Path is not { Kind: PathKind.Socket or PathKind.Fifo } path)
                continue;
            ImmutableArray<OwnedPath> aliases = listener.Socket.Aliases;
            if (listener.Path is { IsLost: false } kept && kept.Owned == path && kept.Aliases.SequenceEqual(aliases))
                continue;
            // Its second name stays until there is another: the directory may be taken away once more meanwhile.
            SpareLink? spare = listener.Path is { } before && before.Owned == path ? before.Spare : null;
            if (spare is not null)
                listener.Path = listener.Path! with { Spare = null };
            Forget(listener);
            wanted.Add(new Wanted(listener, path, aliases, spare));
        }
        if (wanted.Count == 0)
            return;
        SpareLinks links = _links;
        _isWorking = _offload.TryRun(() => KeepAll(wanted, links), Fail, all => Conclude(all, links));
        if (_isWorking)
            return;
        foreach (Wanted one in wanted)
        {
            if (one.Former is { } former)
                _ = _lanes.Owners.TryRun(() => SpareLinks.Remove(former));
        }
        _delays.After(TimeSpan.FromSeconds(1), this, Adopt);
    }

    /// <summary>The folders of second names are gone: makes them all anew.</summary>
    public void Renew(SpareLinks links)
    {
        _links = links;
        foreach (Listener listener in _descriptors.Configured)
            Forget(listener);
        Adopt();
    }

    /// <summary>The listener has no path to keep any more.</summary>
    public void Forget(Listener listener)
    {
        if (listener.Path is not { } kept)
            return;
        listener.Path = null;
        Release(listener, kept);
    }

    public void Dispose()
    {
        if (_inotify is null)
            return;
        _loop.Unwatch(_inotify.Descriptor);
        _inotify.Dispose();
    }

    private void Release(Listener listener, KeptPath kept)
    {
        foreach ((int watch, string name) in kept.Places)
        {
            if (!_directories.TryGetValue(watch, out Dictionary<string, Listener>? names))
                continue;
            if (names.GetValueOrDefault(name) == listener)
                names.Remove(name);
            if (names.Count > 0)
                continue;
            _directories.Remove(watch);
            _inotify!.Remove(watch);
        }
        // Its folder may lie on a file system that does not answer.
        if (kept.Spare is { } spare)
            _ = _lanes.Owners.TryRun(() => SpareLinks.Remove(spare));
    }

    /// <summary>On another thread.</summary>
    private List<(Wanted Wanted, KeptPath Kept, bool IsThere)> KeepAll(List<Wanted> wanted, SpareLinks links)
    {
        IEnumerable<(string Path, Wanted Of)> names = wanted.SelectMany(w => w.All.Select(o => (o.Path, w)));
        foreach (IGrouping<string, (string Path, Wanted Of)> directory in names.GroupBy(n => DirectoryOf(n.Path)))
            Keep([.. directory], links);
        return [.. wanted.Select(w => (w, new KeptPath(w.Path, w.Aliases, w.Spare, [.. w.Places]), w.IsThere))];
    }

    /// <summary>Those of one directory.</summary>
    private void Keep((string Path, Wanted Of)[] all, SpareLinks links)
    {
        (string Name, Wanted Of)[] names = Array.ConvertAll(all, n => (NameOf(n.Path), n.Of));
        if (!ParentDirectory.Open(all[0].Path, directoryMode: null, "").TryGet(out ParentDirectory? first, out _))
        {
            foreach ((string name, Wanted of) in names)
            {
                of.Places.Add((-1, name));
                of.IsThere = false;
                of.Spare ??= of.Former;
            }
            return;
        }
        using ParentDirectory directory = first;
        Errno refused = Errno.None;
        int watch = _inotify?.Add(Files.ProcPath(directory.Directory), Interesting, out refused) ?? -1;
        if (watch >= 0)
            _mailbox.Post(() => Know(watch, names));
        else if (_inotify is not null)
            _mailbox.Post(() => CannotWatch(refused));
        for (int i = 0; i < all.Length; i++)
        {
            (string name, Wanted of) = names[i];
            of.Places.Add((watch, name));
            ParentDirectory parent = directory.Named(name);
            OwnedPath owned = of.All.First(o => o.Path == all[i].Path);
            if (owned == of.Path)
                of.Spare = MakeSpare(links, parent, of);
            // Something may have happened to it before the kernel began to tell.
            of.IsThere &= UnixPath.IsOurs(parent, owned);
        }
    }

    private static SpareLink? MakeSpare(SpareLinks links, ParentDirectory parent, Wanted of)
    {
        if (links.Make(parent, of.Path) is not { } spare)
            return of.Former;
        if (of.Former is not null)
            SpareLinks.Remove(of.Former);
        return spare;
    }

    private void Know(int watch, (string Name, Wanted Of)[] names)
    {
        if (!_directories.TryGetValue(watch, out Dictionary<string, Listener>? known))
            _directories.Add(watch, known = new Dictionary<string, Listener>(names.Length, StringComparer.Ordinal));
        foreach ((string name, Wanted of) in names)
            known[name] = of.Listener;
        foreach ((_, string name) in _early.Where(e => e.Watch == watch).ToArray())
            Tell(watch, name);
    }

    private void Conclude(List<(Wanted Wanted, KeptPath Kept, bool IsThere)> all, SpareLinks links)
    {
        _isWorking = false;
        // The folders with these second names may have been removed meanwhile.
        _isAskedAgain |= links != _links;
        _early.Clear();
        foreach ((Wanted wanted, KeptPath kept, bool isThere) in all)
        {
            Listener listener = wanted.Listener;
            if (!listener.IsConfigured || listener.Opened.Path != wanted.Path)
            {
                Release(listener, kept);
                _isAskedAgain = true;
                continue;
            }
            bool isLost = links != _links || kept.Places.Any(p => _ended.Contains(p.Watch));
            listener.Path = kept with { IsLost = isLost };
            _isAskedAgain |= isLost;
            if (!isThere || listener.Watch.IsPathInDoubt)
                Happened(listener);
        }
        _ended.Clear();
        if (!_isAskedAgain)
            return;
        _isAskedAgain = false;
        Adopt();
    }

    private List<(Wanted Wanted, KeptPath Kept, bool IsThere)> Fail(Exception defect)
    {
        _mailbox.Fail(defect);
        return [];
    }

    private void Read()
    {
        _inotify!.Read(Take);
        _loop.Change(_inotify.Descriptor, IoReadiness.None);
        _delays.After(Pause, _inotify, () => _loop.Change(_inotify.Descriptor, IoReadiness.Readable));
    }

    private void Take(int watch, uint events, string name)
    {
        if ((events & Libc.IN_Q_OVERFLOW) != 0)
            TellAll(_directories.Keys);
        else if ((events & (Libc.IN_DELETE_SELF | Libc.IN_MOVE_SELF | Libc.IN_IGNORED)) != 0)
            LoseDirectory(watch);
        else if (_directories.ContainsKey(watch))
            Tell(watch, name);
        else if (_isWorking && _early.Count < MostEarly)
            _early.Add((watch, name));
        else if (_isWorking)
            _isAskedAgain = true;
    }

    private void Tell(int watch, string name)
    {
        if (_directories[watch].TryGetValue(name, out Listener? listener))
            Happened(listener);
    }

    private void TellAll(IEnumerable<int> watches)
    {
        foreach (int watch in watches.ToArray())
        {
            foreach (Listener listener in _directories[watch].Values.ToArray())
                Happened(listener);
        }
    }

    // Removed, or elsewhere by now: the paths in it are looked at, which makes it again, and then that one is watched.
    private void LoseDirectory(int watch)
    {
        if (_isWorking)
            _ = _ended.Add(watch);
        if (!_directories.Remove(watch, out Dictionary<string, Listener>? names))
            return;
        _inotify!.Remove(watch);
        foreach (Listener listener in names.Values.Distinct().ToArray())
        {
            if (listener.Path is { } kept)
                listener.Path = kept with { Places = [.. kept.Places.Where(p => p.Watch != watch)], IsLost = true };
            Happened(listener);
        }
    }

    private void Happened(Listener listener)
    {
        listener.Watch.IsPathInDoubt = true;
        // While it is being prepared it is not known from what it could be mended.
        if (listener.Path is not null)
            OnHappened?.Invoke(listener);
    }

    private void CannotWatch(Errno refused)
    {
        _counters.Count("paths-not-watched");
        SupervisorLog.PathsNotWatched(_logger, refused.Text);
    }

    private static string DirectoryOf(string path) => path[..path.LastIndexOf('/')];

    private static string NameOf(string path) => path[(path.LastIndexOf('/') + 1)..];

    /// <summary>A listener whose path is to be kept, and what the thread that does it finds.</summary>
    private sealed class Wanted(Listener listener, OwnedPath path, ImmutableArray<OwnedPath> aliases, SpareLink? former)
    {
        public Listener Listener => listener;
        public OwnedPath Path => path;
        public ImmutableArray<OwnedPath> Aliases => aliases;

        /// <summary>The second name that it has so far; null: none.</summary>
        public SpareLink? Former => former;
        public IEnumerable<OwnedPath> All => aliases.Prepend(path);
        public List<(int Watch, string Name)> Places { get; } = new(1);
        public SpareLink? Spare { get; set; }
        public bool IsThere { get; set; } = true;
    }
}
