using System.Text;
using Launchd.Cli.Surroundings;
using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Listeners;
using Launchd.Host.Provisioning;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Host.Steps;
using Launchd.Interop;
using Launchd.Linux.Loop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Model;

namespace Launchd.Cli.Verbs;

/// <summary>
/// What <c>activate</c> says on standard error, and its restarts when files change. Runs on the supervisor's loop. The program writes to
/// the terminal itself.
/// </summary>
internal sealed unsafe class ActivateSession : IDisposable
{
    /// <summary>Editors and compilers write several files in a row: the program starts anew when nothing was written for so long.</summary>
    private static readonly TimeSpan Quiet = TimeSpan.FromMilliseconds(100);

    private readonly ServiceDefinition _service;
    private readonly Supervisor _core;
    private readonly EventFeed _events;
    private readonly DescriptorTable _descriptors;
    private readonly ServiceListeners _listeners;
    private readonly Journal _journal;
    private readonly EventLoop _loop;
    private readonly Delays _delays;
    private readonly FileWatcher? _watcher;
    private readonly bool _hasColour;
    private readonly string _home = OwnStart.WorkingDirectory(out _) ?? "/";
    private object? _pause;
    private string? _changed;
    private string? _askedAt;
    private bool _wasStarted;

    /// <summary>A change was seen; the new instance has not been started yet.</summary>
    private bool _isRestarting;
    private long _restarts;

    /// <param name="service">The only service; nothing runs yet.</param>
    /// <param name="watcher">Borrowed. Null: files are not watched.</param>
    /// <param name="hasColour">Whether standard error shows colours.</param>
    /// <param name="core">Knows what runs.</param>
    /// <param name="events">Gets the events that the program is to start anew, and that the terminal is gone.</param>
    /// <param name="descriptors">The descriptors that the program is given.</param>
    /// <param name="listeners">Of the service.</param>
    /// <param name="signals">Tell when the terminal is gone.</param>
    /// <param name="journal">What happens.</param>
    /// <param name="loop">Watches the files.</param>
    /// <param name="delays">Of the loop.</param>
    public ActivateSession(
        ServiceDefinition service, FileWatcher? watcher, bool hasColour, Supervisor core, EventFeed events, DescriptorTable descriptors,
        ServiceListeners listeners, SupervisorSignals signals, Journal journal, EventLoop loop, Delays delays)
    {
        _service = service;
        _core = core;
        _events = events;
        _descriptors = descriptors;
        _listeners = listeners;
        _journal = journal;
        _loop = loop;
        _delays = delays;
        _watcher = watcher;
        _hasColour = hasColour;
        signals.OnHangUp = () => _events.Feed(new Event.ShutdownAsked("the terminal is gone", IsImmediate: false));
        Greet();
        _journal.Added += Tell;
        if (watcher is not null)
            _ = _loop.Watch(watcher.Descriptor, IoReadiness.Readable, LoopPriority.Control, _ => Look());
    }

    /// <summary>
    /// The exit code if the program cannot be executed, as in shells: 127, it is not there; 126 for any other reason. Null: it ran.
    /// </summary>
    public int? ExecFailure { get; private set; }

    public void Dispose()
    {
        _journal.Added -= Tell;
        if (_watcher is not null)
            _loop.Unwatch(_watcher.Descriptor);
        if (_pause is { } pause)
            _delays.Cancel(pause);
    }

    private void Greet()
    {
        int number = 3;
        foreach (HeldSocket socket in _descriptors.Sockets)
        {
            ListenerDefinition definition = socket.Definition;
            string place = _service.Start == StartKind.Connection || _service.Input is InputSource.Socket ? ""
                : definition.Name == "unknown" ? $"descriptor {number++}" : $"descriptor {number++}, {definition.Name}";
            Say("listening", $"{socket.Opened[0].Address}{(place.Length > 0 ? Faint($"  ({place})") : "")}", "32");
        }
        foreach ((FileDefinition file, _) in _descriptors.Files)
            Say("file", file.Key + Faint($"  (descriptor {number++})"), "32");
        if (_watcher is { } watcher)
            Say("watching", $"{watcher.DirectoryCount} {(watcher.DirectoryCount == 1 ? "directory" : "directories")}", "32");
        if (_service.Start != StartKind.Boot)
            Say("waiting", _service.Start == StartKind.Connection ? "for connections" : "for the first traffic", "33");
    }

    private void Tell(JournalEntry entry)
    {
        switch (entry.What)
        {
            case Notice.Activated e:
                _askedAt = _listeners.AddressOf(e.Of, e.ListenerIndex) is { } key ? AddressOf(key) : null;
                break;
            case Notice.Spawned e:
                _wasStarted = true;
                _isRestarting = false;
                ExecFailure = null;
                Say("started", $"{e.Instance.Service}{Faint($"  (pid {e.Pid}{(_askedAt is { } at ? $", for {at}" : "")})")}", "32");
                _askedAt = null;
                break;
            case Notice.ExecFailed e:
                _wasStarted = true;
                _isRestarting = false;
                ExecFailure = e.Failure.Stage != "exec" ? 1 : e.Failure.ErrorNumber == Errno.ENOENT.Value ? 127 : 126;
                Say("failed", TerminalText.Escape(e.Failure.Text) + AndThen(), "31");
                break;
            case Notice.Exited e:
                Say("ended", $"{e.Instance.Service}: {e.Status}{Faint($"  (pid {e.Pid})")}{AndThen()}", e.IsFailure ? "31" : "33");
                break;
            case Notice.Killing e:
                Say("killing", $"{e.Instance.Service} did not end in time{Faint($"  (pid {e.Pid})")}", "31");
                break;
            case Notice.ActivationPaused e when _watcher is null:
                Say("pausing", $"for {Spans.Show(e.Pause)}: {e.Reason}", "33");
                break;
            case Notice.Shutdown when _core.Services[0].HasLiveInstance:
                Say("stopping", $"{_service.Name}{Faint("  (Ctrl-C again: at once)")}", "33");
                break;
        }
    }

    private string AndThen() =>
        _watcher is not null && !_isRestarting && _core.Frame.Shutdown is null ? Faint("; waits for a change") : "";

    private string AddressOf(string key) => _descriptors.FindSocket(key)!.Opened[0].Address;

    private void Look()
    {
        if (_watcher!.Read() is not { } changed)
            return;
        _changed = changed;
        if (_pause is { } before)
            _delays.Cancel(before);
        _pause = new object();
        _delays.After(Quiet, _pause, Restart);
    }

    private void Restart()
    {
        _pause = null;
        string changed = Path.GetRelativePath(_home, _changed!);
        _changed = null;
        // Before the first traffic the program does not run, and so need not start anew.
        if (!_wasStarted || _core.Frame.Shutdown is not null)
            return;
        _isRestarting = true;
        Say("changed", TerminalText.Escape(changed), "36");
        _events.Feed(new Event.Requested(new RequestId(--_restarts), Verb.Restart, [_service.Name]));
    }

    private string Faint(string text) => _hasColour ? $"\e[2m{text}\e[0m" : text;

    /// <summary>Writes into the pipe that the log pump copies to the terminal, which never waits.</summary>
    private void Say(string what, string text, string colour)
    {
        string label = what.PadLeft(9);
        byte[] line = Encoding.UTF8.GetBytes(_hasColour ? $"\e[{colour}m{label}\e[0m {text}\n" : $"{label} {text}\n");
        fixed (byte* bytes = line)
            _ = Libc.write(2, bytes, (nuint)line.Length);
    }
}
