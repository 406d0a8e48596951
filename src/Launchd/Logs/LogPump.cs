using System.Text;
using Launchd.Client;
using Launchd.Control;
using Launchd.Linux.Calls;

namespace Launchd.Logs;

/// <summary>
/// Carries the output of services from their pipes to the supervisor's output, to files and to clients that ask, on a thread of its own
/// with a loop of its own. Calls that may hang are made by lanes (<see cref="Lanes"/>), or another thread takes the pump's place when one
/// hangs (<see cref="PumpSeat"/>). A full disk or a stuck terminal delays lines, never the main loop. Public members are called by the main
/// loop and return at once; they are carried out in the order of the calls. Answers come back through <see cref="LogPumpOptions.Post"/>.
/// </summary>
internal sealed class LogPump : IDisposable
{
    /// <summary>Most bytes of the supervisor's own log that the pump's thread has not taken yet.</summary>
    private const int MostWaitingBytes = 1 << 20;

    private readonly LogPumpOptions _options;
    private readonly PumpLoop _loop;
    private bool _stopped;
    private int _waitingBytes;
    private long _unsaid;

    private LogPump(LogPumpOptions options)
    {
        _options = options;
        _loop = new PumpLoop(options, Counters);
    }

    /// <summary>Starts a pump. Null: no thread can be made.</summary>
    /// <exception cref="SystemCallException">The kernel gave no epoll or eventfd.</exception>
    public static LogPump? TryStart(LogPumpOptions options)
    {
        LogPump pump = new(options);
        if (pump._loop.TryBegin())
            return pump;
        pump._loop.Dispose();
        return null;
    }

    public LogCounters Counters { get; } = new();

    /// <summary>The number of the pump's thread in /proc/self/task; 0 until it runs.</summary>
    public int ThreadNumber => _loop.ThreadNumber;

    /// <summary>Takes over the read end of a pipe, which becomes non-blocking.</summary>
    public void Add(OutputSource source, FileDescriptor readEndTaken)
    {
        if (_stopped)
            readEndTaken.Dispose();
        else
            Enqueue(() => _loop.AddService(source, readEndTaken));
    }

    /// <summary>
    /// Takes over both ends of a pseudo-terminal. The program's end is held, so that the terminal lasts until <see cref="Close"/>, whoever
    /// closes and opens it meanwhile.
    /// </summary>
    public void AddTerminal(OutputSource source, FileDescriptor masterTaken, FileDescriptor slaveTaken)
    {
        if (!_stopped)
        {
            Enqueue(() => _loop.AddTerminal(source, masterTaken, slaveTaken));
            return;
        }
        masterTaken.Dispose();
        slaveTaken.Dispose();
    }

    /// <summary>
    /// Shows the terminal of an instance to a viewer, until one of them leaves or ends. What becomes of it is posted.
    /// </summary>
    /// <param name="instanceId">Of an instance that has a terminal.</param>
    /// <param name="socketTaken">As <see cref="ServiceTerminal.TryAttach"/> wants it.</param>
    /// <param name="view">What the viewer may do.</param>
    /// <param name="answer">True: it is shown. False: it has too many viewers. Null: the instance is over.</param>
    public void Attach(long instanceId, FileDescriptor socketTaken, TerminalView view, Action<bool?> answer)
    {
        if (_stopped)
        {
            socketTaken.Dispose();
            _options.Post(() => answer(null));
            return;
        }
        Enqueue(() =>
        {
            bool? outcome = _loop.Attach(instanceId, socketTaken, view);
            _options.Post(() => answer(outcome));
        });
    }

    /// <summary>
    /// Takes over the read end of the pipe into which an instance writes a line when it is ready: then <paramref name="onReady"/> is
    /// posted, once, and the pipe is closed. It counts as one of the instance's streams.
    /// </summary>
    public void WatchReady(OutputSource source, FileDescriptor readEndTaken, Action onReady)
    {
        if (_stopped)
            readEndTaken.Dispose();
        else
            Enqueue(() => _loop.AddReady(source, readEndTaken, onReady));
    }

    /// <summary>Takes over the read end of a pipe whose lines go to <paramref name="target"/> unchanged.</summary>
    public void AddOwn(FileDescriptor readEndTaken, OutputWriter target) => Enqueue(() => _loop.AddOwn(readEndTaken, target));

    /// <summary>Tells the names of services that will be shown, so that prefixes align from the first line on.</summary>
    public void KnowServices(IEnumerable<(string Service, int InstanceCount)> services)
    {
        int width = services.Select(s => OutputStyle.Label(s.Service, Math.Max(0, s.InstanceCount - 1)).Length).DefaultIfEmpty().Max();
        Enqueue(() => _loop.WidenPrefixes(width));
    }

    /// <summary>Shows lines of the supervisor itself between those of services, unchanged. They must end in a newline.</summary>
    public void Print(byte[] lines) => Enqueue(() => _loop.QueueOf(_options.Display)?.Add(null, lines));

    /// <summary>
    /// Has whole lines of the supervisor's log written, from any thread. If more come than the pump's thread takes, the
    /// newest are dropped, and a line says how many.
    /// </summary>
    public void Say(OutputWriter target, byte[] lines)
    {
        if (Interlocked.Add(ref _waitingBytes, lines.Length) > MostWaitingBytes)
        {
            Interlocked.Add(ref _waitingBytes, -lines.Length);
            Interlocked.Add(ref _unsaid, lines.AsSpan().Count((byte)'\n'));
            return;
        }
        long unsaid = Interlocked.Exchange(ref _unsaid, 0);
        Enqueue(() =>
        {
            Interlocked.Add(ref _waitingBytes, -lines.Length);
            LineQueue queue = _loop.QueueOf(target)!;
            if (unsaid > 0)
                queue.Add(null, Encoding.ASCII.GetBytes(target.LossText(unsaid)));
            queue.Add(null, lines);
        });
    }

    /// <summary>
    /// Calls <paramref name="onMatch"/> once, when a line of this instance matches; to miss none, watch before <see cref="Add"/>. One
    /// pattern an instance; forgotten when its streams have ended.
    /// </summary>
    /// <exception cref="ArgumentException">The pattern is wrong.</exception>
    /// <exception cref="NotSupportedException">The pattern needs backtracking.</exception>
    public void WatchForMatch(long instanceId, string pattern, Action onMatch)
    {
        var matcher = new OutputMatcher(instanceId, pattern, onMatch);
        Enqueue(() => _loop.SetMatcher(instanceId, matcher));
    }

    /// <summary>Everything that the instance has written before this call is processed, then <paramref name="done"/> is called.</summary>
    public void Flush(long instanceId, Action done) => Enqueue(() =>
    {
        _loop.FlushInstance(instanceId, close: false);
        _options.Post(done);
    });

    /// <summary>
    /// Processes what the instance has written and closes its read ends, though others (daemons it left behind) may still hold write ends.
    /// <see cref="LogPumpOptions.Ended"/> follows for each stream that was open.
    /// </summary>
    public void Close(long instanceId) => Enqueue(() => _loop.FlushInstance(instanceId, close: true));

    /// <summary>
    /// The newest <paramref name="count"/> remembered lines of each of these services, null for all, in the order of writing.
    /// </summary>
    public void Tail(IReadOnlyCollection<string>? services, int count, Action<LogLine[]> answer) => Enqueue(() =>
    {
        LogLine[] lines = _loop.Sinks.History.Tail(services, count);
        _options.Post(() => answer(lines));
    });

    /// <summary>The newest lines of one instance. For a complete report call <see cref="Flush"/> first.</summary>
    public void TailOfInstance(string service, int slot, long instanceId, int count, Action<string[]> answer) => Enqueue(() =>
    {
        string[] lines = _loop.Sinks.History.TailOfInstance(service, slot, instanceId, count);
        _options.Post(() => answer(lines));
    });

    /// <summary>
    /// Delivers the newest <paramref name="lines"/> remembered lines and then every new one, in batches, with the number of lines lost
    /// before each batch. After each batch call <see cref="LogFollower.Continue"/>; dispose to end.
    /// </summary>
    public LogFollower Follow(IReadOnlyCollection<string>? services, int lines, Action<LogLine[], long> deliver)
    {
        var follower = new LogFollower(this, services, deliver);
        Enqueue(() => _loop.Sinks.AddFollower(follower, services, lines));
        return follower;
    }

    /// <summary>How lines are shown from now on: as JSON, for programs, or for people.</summary>
    public void ShowAsJson(bool isJson) => Enqueue(() => _loop.Sinks.ShowsJson = isJson);

    /// <summary>Log files are opened anew with their next line (SIGUSR1).</summary>
    public void ReopenFiles() => Enqueue(_loop.Sinks.ReopenFiles);

    /// <summary>Frees the remembered lines of a service that is gone from the configuration.</summary>
    public void Forget(string service) => Enqueue(() => _loop.Sinks.History.Forget(service));

    /// <summary>
    /// Processes and writes what has been written so far, waiting for slow readers at most <paramref name="patience"/>, then closes every
    /// source and ends the thread. False: not all could be written in time. No call has an effect afterwards.
    /// </summary>
    public bool Stop(TimeSpan patience)
    {
        if (!_stopped)
        {
            _stopped = true;
            Enqueue(() => _loop.DrainAndEnd(patience));
        }

        // The pump may hang all the same; its threads are background threads and do not keep the process alive.
        return _loop.Wait(patience + TimeSpan.FromSeconds(1)) && _loop.IsDrained;
    }

    public void Dispose()
    {
        Stop(TimeSpan.Zero);
        if (_loop.HasEnded)
            _loop.Dispose();
    }

    internal void Enqueue(Action request) => _loop.Enqueue(request);

    internal void Unfollow(LogFollower follower) => Enqueue(() => _loop.Sinks.RemoveFollower(follower));
}
