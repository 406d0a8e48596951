using Launchd.Client;
using Launchd.Host.Instances;
using Launchd.Host.Lanes;
using Launchd.Host.Listeners;
using Launchd.Host.Loop;
using Launchd.Host.Operators;
using Launchd.Host.Reloading;
using Launchd.Host.Reporting;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Listening;
using Launchd.Linux.Loop;
using Launchd.Linux.Paths;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Startup;

/// <summary>
/// Makes the runtime directory again when somebody removes it or what is in it, as the end of a login session or a cleaner of <c>/tmp</c>
/// does: operators reach the supervisor, and programs their notify sockets, at the same paths as before, and no second supervisor can take
/// the name.
/// </summary>
internal sealed class RuntimeDirectoryKeeper : IDisposable
{
    // Not of its own end: inotify(7) keeps silent of that as long as somebody, we among them, has the directory open
    // (findings/inotify-keeps-silent-of-a-held-directory.sh, Linux 6.18).
    private const uint Interesting = Libc.IN_DELETE | Libc.IN_MOVED_FROM | Libc.IN_MOVE_SELF | Libc.IN_ONLYDIR;

    /// <summary>
    /// Whoever removes a directory removes one entry after the other: the keeper looks only when all of them may be gone.
    /// </summary>
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(10);
    private static readonly TimeSpan FirstRetry = TimeSpan.FromSeconds(1), LongestRetry = TimeSpan.FromSeconds(60);

    /// <summary>How long the end of the supervisor waits for a file system that does not answer.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly RuntimeDirectory _directory;
    private readonly ControlListener _control;
    private readonly ControlServer _server;
    private readonly NotifySockets _notifySockets;
    private readonly RunningInstances _instances;
    private readonly ListenerPaths _paths;
    private readonly AdoptedConfiguration _configuration;
    private readonly DescriptorTable _descriptors;
    private readonly EventLoop _loop;
    private readonly Delays _delays;
    private readonly Journal _journal;
    private readonly Counters _counters;
    private readonly ILogger _logger;
    private readonly Offload _offload;
    private readonly Inotify? _inotify;
    private int _watch = -1;
    private bool _isWorking;

    // What another thread has made, until the loop has it.
    private Restored? _restored;
    private bool _isAskedAgain;
    private TimeSpan _retry = FirstRetry;

    /// <summary>Called when the directory is another one, with another lock.</summary>
    public Action? OnDirectoryRestored { get; init; }

    public RuntimeDirectoryKeeper(RuntimeDirectory directory, ControlListener control, ControlServer server, NotifySockets notifySockets,
        RunningInstances instances, ListenerPaths paths, AdoptedConfiguration configuration, DescriptorTable descriptors, EventLoop loop,
        Mailbox mailbox, Delays delays, Journal journal, Counters counters, ILogger logger)
    {
        _directory = directory;
        _control = control;
        _server = server;
        _notifySockets = notifySockets;
        _instances = instances;
        _paths = paths;
        _configuration = configuration;
        _descriptors = descriptors;
        _loop = loop;
        _delays = delays;
        _journal = journal;
        _counters = counters;
        _logger = logger;
        _offload = new Offload(mailbox);
        _inotify = Inotify.Open(out Errno refused);
        if (_inotify is not null)
            refused = _loop.Watch(_inotify.Descriptor, IoReadiness.Readable, LoopPriority.Control, _ => Read());
        if (refused != Errno.None)
            CannotWatch(refused);
        Watch();
    }

    /// <summary>
    /// Looks whether the directory and everything in it are there, and makes again what is not. SIGHUP asks for it
    /// too, where the kernel does not tell of a removal.
    /// </summary>
    public void Look()
    {
        if (_isWorking)
        {
            _isAskedAgain = true;
            return;
        }
        int mode = _configuration.Definition.ControlMode;
        PathOwner owner = ControlListener.OwnerOf(_configuration.Definition, _descriptors.Users);
        _isWorking = _offload.TryRun(() => Restore(mode, owner), defect => new Restored { Failure = Defect.Describe(defect) }, Conclude);
        if (!_isWorking)
            LookAgain();
    }

    public void Dispose()
    {
        _delays.Cancel(this);
        // Another thread may be at work: it must not make the directory again after the supervisor has removed it.
        if (_offload.Join(Patience) && Volatile.Read(ref _restored)?.Control is { } unused)
            ListenerOpener.Undo(unused);
        if (_inotify is null)
            return;
        _loop.Unwatch(_inotify.Descriptor);
        _inotify.Dispose();
    }

    /// <summary>On another thread.</summary>
    private Restored Restore(int mode, PathOwner owner)
    {
        Restored restored = new();
        Volatile.Write(ref _restored, restored);
        try
        {
            if (!_directory.IsWhole())
            {
                _directory.Restore();
                restored.IsDirectory = true;
            }
            if (_control.IsNamed())
                return restored;
            OpenResult<OpenedListener> opened = ControlListener.OpenAt(_directory.ControlSocket, mode, owner);
            restored.Control = opened.Failure is null ? opened.Value : null;
            restored.Failure = opened.Failure is { } failure ? $"control socket: {failure}" : null;
        }
        catch (StartRefusedException refused)
        {
            restored.Failure = refused.Message;
        }
        return restored;
    }

    private void Conclude(Restored restored)
    {
        _isWorking = false;
        _restored = null;
        if (restored.IsDirectory)
        {
            _paths.Renew(_directory.Links);
            OnDirectoryRestored?.Invoke();
            int lost = _notifySockets.Restore(_instances.All);
            if (lost > 0)
                SupervisorLog.NotifyNotRestored(_logger, lost);
        }
        if (restored.Control is { } control)
            _server.Renew(control);
        if (restored.IsDirectory || restored.Control is not null)
        {
            string what = restored.IsDirectory ? "directory" : "control socket";
            _counters.Count("runtime-directory-restored");
            _journal.Add(new RuntimeDirectoryRestored(_directory.Path, what));
            SupervisorLog.RuntimeDirectoryRestored(_logger, what, _directory.Path);
        }
        if (restored.Failure is { } failure)
        {
            if (_retry == FirstRetry)
                SupervisorLog.RuntimeDirectoryLost(_logger, failure);
            LookAgain();
            return;
        }
        _retry = FirstRetry;
        if (restored.IsDirectory)
            Watch();
        // The directory may have been removed again before it was watched.
        if (!_isAskedAgain && !restored.IsDirectory)
            return;
        _isAskedAgain = false;
        Look();
    }

    private void LookAgain()
    {
        _delays.After(_retry, this, Look);
        _retry = _retry * 2 < LongestRetry ? _retry * 2 : LongestRetry;
    }

    private void Watch()
    {
        if (_inotify is null)
            return;
        if (_watch >= 0)
            _inotify.Remove(_watch);
        _watch = _inotify.Add(_directory.Path, Interesting, out Errno refused);
        if (_watch < 0)
            CannotWatch(refused);
    }

    private void Read()
    {
        bool isRemoved = false;
        _inotify!.Read((watch, events, _) => isRemoved |= watch == _watch && (events & Interesting) != 0);
        if (isRemoved)
            _delays.After(Pause, this, Look);
    }

    private void CannotWatch(Errno refused)
    {
        _counters.Count("paths-not-watched");
        SupervisorLog.PathsNotWatched(_logger, refused.Text);
    }

    private sealed class Restored
    {
        public bool IsDirectory { get; set; }
        public OpenedListener? Control { get; set; }
        public string? Failure { get; set; }
    }
}
