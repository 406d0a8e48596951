using System.Globalization;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Core.Recording;
using Launchd.Core.Slots;
using Launchd.Host.Keeping;
using Launchd.Host.Listeners;
using Launchd.Keeper;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Loop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;

namespace Launchd.Host.Startup;

/// <summary>
/// Makes what a keeper would have held out of what is left of a supervisor that was killed together with its keeper, or had none: the
/// state from its file, and the descriptors from the programs that have them. Nothing is changed by that.
/// </summary>
internal static class Adoption
{
    private const int MostTaken = 1 << 14;
    private const string SocketPrefix = "socket:[", PipePrefix = "pipe:[", AnonymousPrefix = "anon_inode:";

    /// <summary>The state and the descriptors. Null with the reason: the programs cannot be gone on with.</summary>
    /// <param name="directory">Of the supervisor that was killed.</param>
    /// <param name="left">Its processes, borrowed.</param>
    /// <param name="why">A clause.</param>
    public static Heritage? TryTake(RuntimeDirectory directory, IReadOnlyList<Leftover> left, out string why)
    {
        if (directory.State.Open(out why) is not { } file)
            return null;
        TimeSpan away = FileStatus.Read(file, out FileStatus status) == Errno.None ? Clock.UtcNow - status.ChangedAt : TimeSpan.Zero;
        // Nothing that it had to do was due before its last step, so what is due now was due while it was away, at most.
        long diedAt = Clock.MonotonicNanoseconds - (long)Math.Max(0, away.TotalNanoseconds);
        Heritage heritage = Heritage.OfFile(file, new KeeperHistory { DiedAt = diedAt });
        why = WhyNot(heritage, directory, left) ?? TakeDescriptors(heritage, left) ?? "";
        if (why.Length > 0)
        {
            heritage.Dispose();
            return null;
        }
        heritage.EndSearch();
        FindNewborns(heritage, left);
        heritage.Reaper = ReaperOf(heritage, left);
        return heritage;
    }

    /// <summary>The main processes that a supervisor's state knows and that still run. The handles are the caller's.</summary>
    /// <param name="directory">Of the supervisor that was killed.</param>
    /// <param name="found">Those that need not be found any more.</param>
    public static List<Leftover> Known(RuntimeDirectory directory, HashSet<int> found)
    {
        List<Leftover> known = [];
        if (directory.State.Open(out _) is not { } file)
            return known;
        using Heritage heritage = Heritage.OfFile(file, default);
        if (heritage.State is not { } state || heritage.Owner.Mark != directory.Mark)
            return known;
        foreach (Instance instance in InstancesOf(state))
        {
            if (heritage.InstanceOf(instance.Id.Number) is not { Pid: > 0, Ended: null } record || found.Contains(record.Pid)
                || record.Identity.TryOpen(record.Pid) is not { } process)
            {
                continue;
            }
            if (ProcessFacts.Read(record.Pid) is { HasEnded: false })
                known.Add(new Leftover(process, instance.Id.Service.Text, record.Mark, instance.Id.Number));
            else
                process.Dispose();
        }
        return known;
    }

    private static IEnumerable<Instance> InstancesOf(RestoredState state) =>
        from service in state.State.Services
        from slot in service.Slots.Concat(service.Beside)
        let live = slot.Phase as SlotPhase.Live
        where live is not null
        select live.Instance;

    private static string? WhyNot(Heritage heritage, RuntimeDirectory directory, IReadOnlyList<Leftover> left)
    {
        if (heritage.State is not { } state)
            return $"its state cannot be used: {heritage.WhyFresh}";
        // The place of a directory on a disk is named after its inode, which another one may get.
        if (heritage.Owner.Mark != directory.Mark)
            return "the state that lies there is that of another supervisor";
        if (state.Adopted.RuntimeDirectory.TrimEnd('/') != directory.Path)
            return $"its state is that of {state.Adopted.RuntimeDirectory}";
        // A file that was cut reads as one of an earlier moment, of whose later programs nothing would be known.
        if (left.Any(l => l.Number >= state.State.Frame.NextInstance))
            return "its state is older than its programs";
        // The core was told of an instance in a step before the one in which its program was noted.
        HashSet<long> running = [.. InstancesOf(state).Select(i => i.Id.Number)];
        if (left.Any(l => running.Contains(l.Number) && heritage.InstanceOf(l.Number)?.Mark != l.Mark))
            return "its state does not know its programs";
        return heritage.UnsoundInstance is { } unsound ? $"its state cannot be used: {unsound}" : null;
    }

    /// <summary>Null: all is there that somebody has. Otherwise why a listener that a program has cannot be had.</summary>
    private static string? TakeDescriptors(Heritage heritage, IReadOnlyList<Leftover> left)
    {
        ILookup<ulong, HeldNote> notes = heritage.Notes.Where(n => !n.Identity.IsAnonymous).ToLookup(n => n.Identity.Inode);
        bool hasFiles = notes.Any(n => n.Any(note => note.Identity.Kind is not (FileKind.Socket or FileKind.Fifo)));
        Dictionary<string, string> refusedListeners = new(StringComparer.Ordinal);
        int takenCount = 0;
        foreach (Leftover one in left.Where(l => l.Process.HasDescriptor))
        {
            foreach ((int number, string link) in ProcessDescriptors.Links(one.Process.Pid))
            {
                ulong? inode = InodeOf(link, SocketPrefix) ?? InodeOf(link, PipePrefix);
                bool mayBeOne = inode is { } known ? notes[known].Any(n => !heritage.Has(n.Name))
                    : hasFiles && !link.StartsWith(AnonymousPrefix, StringComparison.Ordinal);
                if (!mayBeOne || ++takenCount > MostTaken)
                    continue;
                Take(one, number, link, inode);
            }
        }
        return refusedListeners.Where(r => !heritage.Has(r.Key)).Select(r => r.Value).FirstOrDefault();

        void Take(Leftover one, int number, string link, ulong? inode)
        {
            // The other end of a pipe is opened by the link, which needs less than to take what the program has (ptrace(2)).
            bool isPipe = link.StartsWith(PipePrefix, StringComparison.Ordinal);
            Errno refused = Errno.None;
            using FileDescriptor? found = isPipe ? Look(one.Process.Pid, number)
                : ProcessDescriptors.Take(one.Process, number, closer: null, out refused);
            if (found is null)
            {
                if (inode is not { } known)
                    return;
                foreach (HeldNote listener in notes[known].Where(n => OfferedDescriptor.IsStoredName(n.Name)))
                {
                    _ = refusedListeners.TryAdd(listener.Name, string.Create(CultureInfo.InvariantCulture,
                        $"{one.Service} (pid {one.Process.Pid}) has {listener.Name}, which cannot be taken: ")
                        + ProcessDescriptors.Explain(refused, one.Process));
                }
                return;
            }
            if (DescriptorIdentity.Read(found, out DescriptorIdentity its) != Errno.None)
                return;
            foreach (HeldNote note in notes[its.Inode].Where(n => !heritage.Has(n.Name)))
            {
                if ((its with { AccessMode = note.Identity.AccessMode }) != note.Identity)
                    continue;
                FileDescriptor? own = isPipe ? Files.Open(
                        null, Files.ProcPath(found), note.Identity.AccessMode | ClientLibc.O_NONBLOCK, 0, out _)
                    : its.AccessMode == note.Identity.AccessMode ? Files.Duplicate(found, closer: null, out _) : null;
                if (own is not null)
                    heritage.Found(note.Name, own);
            }
        }
    }

    /// <summary>What a process has open, without any access to it: O_PATH of open(2).</summary>
    private static FileDescriptor? Look(int pid, int number) =>
        Files.OpenNode(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/fd/{number}"), out _);

    private static ulong? InodeOf(string link, string prefix) =>
        link.StartsWith(prefix, StringComparison.Ordinal) && link.EndsWith(']')
        && ulong.TryParse(link.AsSpan()[prefix.Length..^1], NumberStyles.None, CultureInfo.InvariantCulture, out ulong inode)
            ? inode : null;

    // The parent of each whose own was killed: the kernel gives all orphans to the same one. The main processes were the supervisor's
    // children; of another process without a mark may be the parent.
    private static int ReaperOf(Heritage heritage, IReadOnlyList<Leftover> left)
    {
        HashSet<int> own = [.. left.Select(l => l.Process.Pid)];
        foreach (Leftover one in left.Where(l => heritage.InstanceOf(l.Number)?.FirstGroup == l.Process.Pid))
        {
            if (ProcessFacts.Read(one.Process.Pid) is { Parent: > 0 and var parent } && !own.Contains(parent))
                return parent;
        }
        return left.Select(l => ProcessFacts.Read(l.Process.Pid)?.Parent ?? 0).FirstOrDefault(p => p > 0 && !own.Contains(p), 1);
    }

    // Programs in whose births the supervisor was killed: each leads a group of its own, and has the mark of its instance.
    private static void FindNewborns(Heritage heritage, IReadOnlyList<Leftover> left)
    {
        foreach ((long number, string mark) in heritage.Unknown)
        {
            foreach (Leftover one in left.Where(l => l.Mark == mark))
            {
                if (ProcessFacts.Read(one.Process.Pid)?.Group == one.Process.Pid)
                    _ = heritage.Newborns.TryAdd(number, (one.Process.Pid, ProcessIdentity.Of(one.Process)));
            }
        }
    }
}
