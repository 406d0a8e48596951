using Launchd.Client;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Listening;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Linux.Spawning;

namespace Launchd.Host.Instances;

/// <summary>
/// One look at the processes of an instance that is to end: stops their epoll sets from waiting for its listeners, and collects the
/// connections that they have accepted. Runs in a lane; touches nothing of the loop's, and does not throw.
/// </summary>
/// <param name="main">The main process.</param>
/// <param name="withDescendants">Whether its descendants are looked at too, or the main process alone.</param>
/// <param name="listenersTaken">The instance's listeners, disposed at the end.</param>
/// <param name="isHearing">An earlier look has stopped its sets: its connections are collected in any case.</param>
internal sealed class LastClientsLook(int main, bool withDescendants, List<ListenerClients> listenersTaken, bool isHearing) : IDisposable
{
    // Bounds of what a program can make one look cost; processes and descriptors beyond are treated as if they did not wait by epoll.
    private const int MostProcesses = 64, MostDescriptors = 1 << 16, MostStopped = 16;

    private int _descriptorCount;

    /// <summary>Epoll sets that waited for a listener, and now do no more.</summary>
    public int StoppedCount { get; private set; }

    /// <summary>Epoll sets that wait for a listener and could not be changed.</summary>
    public int RefusedCount { get; private set; }

    /// <summary>Inodes of the open connections that came from the listeners.</summary>
    public HashSet<ulong> Accepted { get; } = [];

    /// <summary>Those of them whose client waits to be heard.</summary>
    public HashSet<ulong> Unheard { get; } = [];

    /// <summary>Somebody waits in a listener. The queue is not looked at where sets were stopped: then it is for others.</summary>
    public bool HasQueue { get; private set; }

    /// <summary>The exception that a bug of ours threw; null: none.</summary>
    public Exception? Defect { get; private set; }

    public void Run()
    {
        try
        {
            // If /proc shows another pid namespace, its numbers mean other processes.
            if (!ProcFile.IsOwn)
                return;
            List<int> pids = [main];
            for (int i = 0; i < pids.Count && _descriptorCount < MostDescriptors; i++)
            {
                // From here on the pid means this process, or it has ended.
                using ProcessHandle? process = ProcessHandle.TryOpen(pids[i]);
                if (process is null)
                    continue;
                if (withDescendants)
                    ProcessFamily.AddChildren(pids, process.Pid, MostProcesses);
                Look(process);
            }
            HasQueue = !isHearing && StoppedCount == 0 && listenersTaken.Exists(l => ListenerState.IsReadable(l.Listener));
        }
        catch (Exception defect)
        {
            Defect = defect;
        }
        finally
        {
            Dispose();
        }
    }

    public void Dispose()
    {
        foreach (ListenerClients listener in listenersTaken)
            listener.Dispose();
    }

    private void Look(ProcessHandle process)
    {
        List<int> sockets = [];
        foreach ((int number, string link) in ProcessDescriptors.Links(process.Pid))
        {
            if (++_descriptorCount > MostDescriptors)
                break;
            if (link.StartsWith("socket:", StringComparison.Ordinal))
                sockets.Add(number);
            else if (link == "anon_inode:[eventpoll]" && StoppedCount + RefusedCount < MostStopped)
                Stop(process, number);
        }
        // Of an instance that does not wait by epoll only the queue counts, whomever it has accepted.
        if (!isHearing && StoppedCount == 0)
            return;
        foreach (int number in sockets)
        {
            using FileDescriptor? socket = ProcessDescriptors.Take(process, number, closer: null, out _);
            if (socket is null || !listenersTaken.Exists(l => l.Contain(socket))
                || FileStatus.Read(socket, out FileStatus status) != Errno.None)
            {
                continue;
            }
            _ = Accepted.Add(status.Inode);
            if (ListenerClients.IsUnheard(socket))
                _ = Unheard.Add(status.Inode);
        }
    }

    private void Stop(ProcessHandle process, int number)
    {
        List<EpollEntry> waiting = EpollEntry.Read(process.Pid, number, e => listenersTaken.Exists(l => l.Is(e)), MostStopped);
        if (waiting.Count == 0)
            return;
        using FileDescriptor? set = ProcessDescriptors.Take(process, number, closer: null, out _);
        foreach (EpollEntry entry in waiting)
        {
            if (set is not null && EpollChange.Make(entry, set, listenersTaken.Find(l => l.Is(entry))!.Listener, events: 0) == Errno.None)
                StoppedCount++;
            else
                RefusedCount++;
        }
    }
}
