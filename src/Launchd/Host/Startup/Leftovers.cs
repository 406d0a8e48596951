using System.Globalization;
using System.Text;
using Launchd.Client;
using Launchd.Control;
using Launchd.Host.Instances;
using Launchd.Host.Listeners;
using Launchd.Host.Reporting;
using Launchd.Linux.Listening;
using Launchd.Linux.Loop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Linux.Sockets;

namespace Launchd.Host.Startup;

/// <summary>
/// Processes that a supervisor has left running in this runtime directory: it was killed, and no keeper goes on with them. They are known
/// by the supervisor's mark in their environment, and main processes also by its state. Beside them nothing may be started, because each
/// program would run twice.
/// </summary>
internal static class Leftovers
{
    private const int MostNamed = 8, MostEnvironmentBytes = 1 << 20, MostSockets = 1 << 14, StackBytes = 256 << 10;

    /// <summary>A process that has its memory locked holds up whoever reads its environment, and is passed over: so many at most.</summary>
    private const int MostReaders = 32;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Finds what is to be gone on with; or ends it, if that is wanted, after their listeners were taken: clients wait in those.
    /// </summary>
    /// <param name="directory">Of a supervisor that was killed.</param>
    /// <param name="areToEnd">Whether they are to be ended, and not gone on with.</param>
    /// <param name="inherited">Gets the sockets of those that are ended.</param>
    /// <exception cref="StartRefusedException">They run, and nobody can go on with them.</exception>
    public static LeftoverOutcome Clear(RuntimeDirectory directory, bool areToEnd, InheritedListeners inherited)
    {
        if (!directory.IsOfKilled)
            return default;
        // They have let the lock go by then, but perhaps not the control socket, and their children have no other parent yet.
        _ = EndingProcess.Await(directory.Former.Keeper);
        _ = EndingProcess.Await(directory.Former.Supervisor);
        // The mark has to stay for whoever comes next, until all have ended.
        bool leaves = directory.LeavesSockets;
        directory.LeavesSockets = true;
        List<Leftover> left = FindAll(directory);
        int count = left.Count;
        try
        {
            if (!areToEnd && count > 0)
            {
                if (Adoption.TryTake(directory, left, out string why) is { } adopted)
                    return new LeftoverOutcome(0, adopted);
                throw new StartRefusedException(
                    $"{directory.Path} is that of a supervisor that was killed, and its programs still run: {NamesOf(left)}: nothing was "
                    + $"started, because each would run twice, and they cannot be gone on with: {why}. End them, or let --take-over end "
                    + "them, which keeps their listeners open", ExitCode.TimedOut);
            }
            TakeSockets(left, inherited);
        }
        finally
        {
            left.ForEach(l => l.Process.Dispose());
        }
        if (count > 0)
        {
            _ = FormerChildren.End(
                () =>
                {
                    List<Leftover> still = FindAll(directory);
                    still.ForEach(l => l.Process.Dispose());
                    return [.. still.Select(l => l.Process.Pid)];
                },
                pid =>
                {
                    using ProcessHandle? marked = Look(pid, directory.Mark)?.Process;
                    List<Leftover> known = marked is null ? Adoption.Known(directory, []) : [];
                    known.ForEach(l => l.Process.Dispose());
                    return marked is not null || known.Exists(l => l.Process.Pid == pid);
                });
        }
        directory.LeavesSockets = leaves;
        return new LeftoverOutcome(count);
    }

    private static string NamesOf(List<Leftover> left)
    {
        IEnumerable<string> names = left.OrderBy(l => l.Process.Pid).Take(MostNamed).Select(l => string.Create(
            CultureInfo.InvariantCulture, $"{l.Service} (pid {l.Process.Pid}, {SocketHolders.CommandOf(l.Process.Pid)})"));
        string more = left.Count > MostNamed ? $", and {left.Count - MostNamed} more" : "";
        return string.Join(", ", names) + more;
    }

    // What may not be taken is opened anew when its process has ended.
    private static void TakeSockets(List<Leftover> left, InheritedListeners inherited)
    {
        HashSet<ulong> seen = [];
        foreach (Leftover one in left.Where(l => l.Process.HasDescriptor))
        {
            foreach ((int number, string link) in ProcessDescriptors.Links(one.Process.Pid))
            {
                if (SocketHolders.InodeOf(link) is not { } inode || seen.Count >= MostSockets || !seen.Add(inode))
                    continue;
                if (ProcessDescriptors.Take(one.Process, number, closer: null, out _) is not { } socket)
                    continue;
                string kind = ListenerState.ReadUnlocked(socket, out _).Kind;
                bool isDatagram = kind is "udp-socket" or "unix-datagram" && SocketAddress.OfPeer(socket) is null;
                if (isDatagram || kind is "tcp-listener" or "unix-listener")
                    inherited.Borrow(socket);
                else
                    socket.Dispose();
            }
        }
    }

    // A program may have another environment than it was given (sudo(8), env -i); the state knows it by its pid and what that was born as.
    private static List<Leftover> FindAll(RuntimeDirectory directory)
    {
        List<Leftover> left = Find(directory.Mark);
        left.AddRange(Adoption.Known(directory, [.. left.Select(l => l.Process.Pid)]));
        return left;
    }

    /// <summary>All processes with the mark but this one and those above it. The handles are the caller's.</summary>
    private static List<Leftover> Find(string mark)
    {
        HashSet<int> own = [Environment.ProcessId];
        for (int next = Environment.ProcessId; ProcessFacts.Read(next) is { Parent: > 0 and var parent } && own.Add(parent);)
            next = parent;
        Search search = new(mark, new Queue<int>(SocketHolders.Processes().Where(p => !own.Contains(p))));
        List<Leftover> found = search.Run(out bool isComplete);
        if (isComplete)
            return found;
        found.ForEach(l => l.Process.Dispose());
        throw new StartRefusedException(
            "a supervisor of this runtime directory was killed, and whether its programs run cannot be seen: "
            + $"{MostReaders} processes do not let their environment be read; nothing was started: try again", ExitCode.TimedOut);
    }

    /// <summary>The process, if it has the mark; its handle is the caller's. From any thread.</summary>
    private static Leftover? Look(int pid, string mark)
    {
        // Before its environment is read, so that both are of one process.
        if (ProcessHandle.TryOpen(pid) is not { } process)
            return null;
        string path = string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/environ");
        using FileDescriptor? file = Files.OpenToRead(path, out _);
        byte[] bytes = file is null ? [] : Files.ReadBytes(file, MostEnvironmentBytes, out _) ?? [];
        bool hasMark = bytes.AsSpan().IndexOf(Encoding.ASCII.GetBytes(mark)) >= 0;
        string[] variables = hasMark ? Encoding.UTF8.GetString(bytes).Split('\0') : [];
        bool isMarked = ValueOf(InstanceMark.VariableName)?.Split(':').Contains(mark) == true;
        if (isMarked && process.Signal(0) == Errno.None && SocketHolders.FactsOf(pid) is { HasEnded: false })
            return Of(process);
        process.Dispose();
        return null;

        // Behind the marks of supervisors that run in one of its instances come that instance's own and this supervisor's.
        Leftover Of(ProcessHandle its)
        {
            string[] marks = ValueOf(InstanceMark.VariableName)!.Split(':');
            int at = Array.IndexOf(marks, mark);
            bool isNumbered = long.TryParse(
                ValueOf(InstanceMark.NumberName), NumberStyles.None, CultureInfo.InvariantCulture, out long number);
            return new Leftover(
                its, TextOf(ValueOf("LAUNCHD_SERVICE")), at > 0 ? marks[at - 1] : "", at == 1 && isNumbered ? number : 0);
        }

        string? ValueOf(string name) =>
            Array.Find(variables, v => v.StartsWith(name + "=", StringComparison.Ordinal))?[(name.Length + 1)..];
    }

    private static string TextOf(string? service) =>
        service is { Length: > 0 and <= 128 } && service.All(c => c is > ' ' and <= '~') ? service : "a process";

    /// <summary>Reads the environments beside this thread, which goes on without those that do not come.</summary>
    private sealed class Search(string mark, Queue<int> pids)
    {
        private readonly object _gate = new();
        private readonly List<Leftover> _found = [];
        private int _seenCount;
        private int _workers;
        private bool _isOver;

        /// <param name="isComplete">Every process was looked at, but for those that hold up who looks.</param>
        public List<Leftover> Run(out bool isComplete)
        {
            lock (_gate)
            {
                Begin();
                for (int begun = 1; _workers > 0;)
                {
                    int before = _seenCount;
                    if (Monitor.Wait(_gate, Patience) || _seenCount != before)
                        continue;
                    if (pids.Count == 0 || begun == MostReaders)
                        break;
                    begun++;
                    Begin();
                }
                _isOver = true;
                isComplete = pids.Count == 0;
                return _found;
            }
        }

        private void Begin()
        {
            _workers++;
            if (Worker.TryStart("leftovers", StackBytes, Work) is null)
                Work();
        }

        private void Work()
        {
            while (true)
            {
                int pid;
                lock (_gate)
                {
                    if (_isOver || !pids.TryDequeue(out pid))
                    {
                        _workers--;
                        Monitor.PulseAll(_gate);
                        return;
                    }
                }
                Leftover? seen = Look(pid, mark);
                lock (_gate)
                {
                    _seenCount++;
                    if (seen is not null && !_isOver)
                        _found.Add(seen);
                    else
                        seen?.Process.Dispose();
                }
            }
        }
    }
}
