using System.Text.Json;
using Launchd.Core;
using Launchd.Linux.Loop;
using Launchd.Model;

namespace Launchd.Host.Reporting;

/// <summary>Something that happened.</summary>
/// <param name="Time">Of the wall clock, in UTC.</param>
/// <param name="What">A <see cref="HostNotice"/>, or a <see cref="Notice"/> of the core.</param>
internal readonly record struct JournalEntry(DateTime Time, object What);

/// <summary>
/// The newest events, and the operators who follow them. When there is no more room, the oldest event of the service with most events is
/// dropped: so one service's events, however many, never push out another's, unless that one has as many itself.
/// </summary>
internal sealed class Journal
{
    private readonly LinkedList<Kept> _kept = [];
    private readonly Dictionary<ServiceName, Share> _shares = [];
    private readonly ShareSizes _sizes = new();

    // The share of events that belong to no service.
    private readonly Share _own = new();
    private readonly int _most;
    private long _count;

    /// <param name="most">How many are kept.</param>
    public Journal(int most = Limits.JournalCount) => _most = most;

    /// <summary>Called with each new event, on the loop.</summary>
    public event Action<JournalEntry>? Added;

    public void Add(object what)
    {
        JournalEntry entry = new(Clock.UtcNow, what);
        Share share = ShareOf(what);
        if (_kept.Count >= _most)
            DropOldestOfLargest();
        share.Kept.Enqueue(_kept.AddLast(new Kept(_count++, entry)));
        _sizes.Note(share);
        Added?.Invoke(entry);
    }

    /// <summary>How many events there were since the start.</summary>
    public long Count => _count;

    /// <summary>How many events of a service have been dropped.</summary>
    public long DroppedOf(ServiceName service) => _shares.GetValueOrDefault(service)?.DroppedCount ?? 0;

    /// <summary>
    /// Events by their number, from <paramref name="first"/> to before <paramref name="end"/>, as far as they have happened.
    /// </summary>
    /// <param name="first">From 0.</param>
    /// <param name="end">At least <paramref name="first"/>.</param>
    /// <param name="most">How many of them at a time.</param>
    /// <param name="lost">
    /// How many events before the last returned one were dropped: their number and that of the returned events lead to the next event.
    /// </param>
    public JournalEntry[] Read(long first, long end, int most, out long lost)
    {
        List<JournalEntry> read = [];
        long next = first;
        for (LinkedListNode<Kept>? at = FirstFrom(first); at is not null && at.Value.Number < end && read.Count < most; at = at.Next)
        {
            read.Add(at.Value.Entry);
            next = at.Value.Number + 1;
        }
        if (read.Count < most)
            next = Math.Max(next, Math.Min(end, _count));
        lost = next - first - read.Count;
        return [.. read];
    }

    // A search from the front is short enough: readers begin at the front, or wait at the end for which nothing is searched.
    private LinkedListNode<Kept>? FirstFrom(long number)
    {
        if (number >= _count)
            return null;
        LinkedListNode<Kept>? at = _kept.First;
        while (at is not null && at.Value.Number < number)
            at = at.Next;
        return at;
    }

    private Share ShareOf(object what)
    {
        if (what is not Notice { Service: { } service })
            return _own;
        if (!_shares.TryGetValue(service, out Share? share))
            _shares.Add(service, share = new Share());
        return share;
    }

    private void DropOldestOfLargest()
    {
        Share largest = _sizes.Largest!;
        _kept.Remove(largest.Kept.Dequeue());
        largest.DroppedCount++;
        _sizes.Note(largest);
    }

    private readonly record struct Kept(long Number, JournalEntry Entry);

    /// <summary>The kept events of one service, oldest first.</summary>
    private sealed class Share
    {
        public Queue<LinkedListNode<Kept>> Kept { get; } = [];

        public long DroppedCount { get; set; }

        /// <summary>The size under which <see cref="ShareSizes"/> has listed this share.</summary>
        public int Size { get; set; }
        public int Place { get; set; }
    }

    /// <summary>Shares by their number of events, so that the largest is found in constant time.</summary>
    private sealed class ShareSizes
    {
        private readonly List<List<Share>> _ofSize = [[]];

        public Share? Largest
        {
            get
            {
                while (_ofSize.Count > 1 && _ofSize[^1].Count == 0)
                    _ofSize.RemoveAt(_ofSize.Count - 1);
                return _ofSize.Count > 1 ? _ofSize[^1][0] : null;
            }
        }

        /// <summary>Notes that a share has one event more or one less.</summary>
        public void Note(Share share)
        {
            if (share.Size > 0)
            {
                List<Share> before = _ofSize[share.Size];
                before[share.Place] = before[^1];
                before[share.Place].Place = share.Place;
                before.RemoveAt(before.Count - 1);
            }
            share.Size = share.Kept.Count;
            while (_ofSize.Count <= share.Size)
                _ofSize.Add([]);
            if (share.Size == 0)
                return;
            share.Place = _ofSize[share.Size].Count;
            _ofSize[share.Size].Add(share);
        }
    }

    /// <summary>One event as JSON: time, kind, and the keys of the kind.</summary>
    public static void Write(Utf8JsonWriter json, JournalEntry entry, Func<ServiceName, int, string?> addressOf)
    {
        json.WriteStartObject();
        json.WriteString("time", entry.Time.ToString("yyyy-MM-ddTHH:mm:ss.ffffffZ"));
        json.WriteString("event", KindOf(entry.What));
        switch (entry.What)
        {
            case HostNotice ofHost:
                ofHost.Write(json);
                break;
            case Notice ofCore:
                WriteNotice(json, ofCore, addressOf);
                break;
        }
        json.WriteEndObject();
    }

    public static string KindOf(object what) => what switch
    {
        HostNotice notice => notice.Kind,
        Notice.Spawned => "spawned",
        Notice.ExecFailed => "exec-failed",
        Notice.Notified => "notified",
        Notice.Ready => "ready",
        Notice.Completed => "completed",
        Notice.Draining => "draining",
        Notice.Killing => "killing",
        Notice.Exited => "exited",
        Notice.LeftoversEnded => "leftovers-ended",
        Notice.Restarting => "restarting",
        Notice.Failed => "failed",
        Notice.Stopped => "stopped",
        Notice.RolloutStarted => "rollout-started",
        Notice.RolloutFinished => "rollout-finished",
        Notice.RolledBack => "rolled-back",
        Notice.DrainProgressed => "drain-progress",
        Notice.Scaled => "scaled",
        Notice.Activated => "activated",
        Notice.ActivationPaused => "activation-paused",
        Notice.ActivationResumed => "activation-resumed",
        Notice.Stored => "stored",
        Notice.StoreShrunk => "store-shrunk",
        Notice.DescriptorSent => "descriptor-sent",
        Notice.DescriptorDenied => "descriptor-denied",
        Notice.ChannelClosed => "channel-closed",
        Notice.SignalRefused => "signal-refused",
        Notice.Shutdown => "shutdown",
        _ => "unknown",
    };

    public static void WriteList(Utf8JsonWriter json, string key, IEnumerable<string> items)
    {
        json.WriteStartArray(key);
        foreach (string item in items)
            json.WriteStringValue(item);
        json.WriteEndArray();
    }

    private static void WriteNotice(Utf8JsonWriter json, Notice notice, Func<ServiceName, int, string?> addressOf)
    {
        if (notice.Service is { } service)
            json.WriteString("service", service.Text);
        switch (notice)
        {
            case Notice.OfInstance of:
                json.WriteNumber("slot", of.Slot);
                json.WriteNumber("generation", of.Generation);
                if (of.Pid > 0 && of is not Notice.Notified)
                    json.WriteNumber("pid", of.Pid);
                WriteOfInstance(json, of);
                break;
            case Notice.Restarting e:
                json.WriteNumber("slot", e.Slot);
                json.WriteNumber("generation", e.Generation);
                json.WriteNumber("delay_ms", (long)e.Delay.TotalMilliseconds);
                if (e.Reason is { } reason)
                    json.WriteString("reason", reason);
                break;
            case Notice.Failed e:
                json.WriteNumber("slot", e.Slot);
                json.WriteNumber("generation", e.Generation);
                json.WriteString("reason", e.Failure.ToString());
                break;
            case Notice.Stopped e:
                json.WriteNumber("slot", e.Slot);
                json.WriteNumber("generation", e.Generation);
                break;
            case Notice.RolloutStarted e:
                json.WriteNumber("generation", e.Generation);
                json.WriteNumber("former", e.Former);
                json.WriteString("reason", e.Reason.ToString().ToLowerInvariant());
                break;
            case Notice.RolloutFinished e:
                json.WriteNumber("generation", e.Generation);
                json.WriteNumber("after_ms", (long)e.After.TotalMilliseconds);
                break;
            case Notice.RolledBack e:
                json.WriteNumber("generation", e.Generation);
                json.WriteNumber("former", e.Former);
                json.WriteString("reason", e.Reason);
                break;
            case Notice.Scaled e:
                json.WriteNumber("slots", e.SlotCount);
                json.WriteNumber("former", e.FormerCount);
                break;
            case Notice.Activated e:
                json.WriteString("socket", addressOf(e.Of, e.ListenerIndex));
                break;
            case Notice.ActivationPaused e:
                json.WriteNumber("pause_ms", (long)e.Pause.TotalMilliseconds);
                json.WriteString("reason", e.Reason);
                break;
            case Notice.DescriptorDenied e:
                json.WriteString("name", e.Name);
                json.WriteString("to", e.To);
                json.WriteString("rule", e.Rule);
                WriteSkipped(json, e.SkippedCount);
                break;
            case Notice.StoreShrunk e:
                WriteList(json, "closed", e.Names);
                break;
            case Notice.Shutdown e:
                json.WriteString("reason", e.Reason);
                break;
        }
    }

    private static void WriteOfInstance(Utf8JsonWriter json, Notice.OfInstance of)
    {
        switch (of)
        {
            case Notice.Spawned e:
                json.WriteString("reason", e.Reason.ToString().ToLowerInvariant());
                break;
            case Notice.ExecFailed e:
                json.WriteString("stage", e.Failure.Stage);
                json.WriteNumber("errno", e.Failure.ErrorNumber);
                json.WriteString("text", e.Failure.Text);
                break;
            case Notice.Notified e:
                json.WriteNumber("pid", e.SenderPid);
                json.WriteNumber("uid", e.SenderUid);
                WriteList(json, "lines", e.Lines);
                json.WriteNumber("descriptors", e.DescriptorCount);
                break;
            case Notice.Completed e: json.WriteNumber("after_ms", (long)e.After.TotalMilliseconds); break;
            case Notice.Ready e: json.WriteNumber("after_ms", (long)e.After.TotalMilliseconds); break;
            case Notice.Draining e: json.WriteString("reason", e.Reason); break;
            case Notice.LeftoversEnded e: json.WriteString("processes", e.Processes); break;
            case Notice.DrainProgressed e:
                json.WriteNumber("remaining", e.RemainingCount);
                break;
            case Notice.Exited e:
                WriteEnd(json, e);
                break;
            case Notice.DescriptorSent e:
                json.WriteString("name", e.Name);
                json.WriteString("to", e.To);
                json.WriteString("way", e.Way);
                WriteSkipped(json, e.SkippedCount);
                break;
            case Notice.ChannelClosed e:
                json.WriteString("reason", e.Reason);
                break;
            case Notice.SignalRefused e:
                json.WriteString("signal", e.Number.ToString());
                json.WriteString("reason", e.Reason);
                break;
            case Notice.Stored e:
                json.WriteString("name", e.Name);
                if (e.Refusal is { } refusal)
                    json.WriteString("refused", refusal);
                WriteSkipped(json, e.SkippedCount);
                break;
        }
    }

    private static void WriteSkipped(Utf8JsonWriter json, long count)
    {
        if (count > 0)
            json.WriteNumber("skipped", count);
    }

    private static void WriteEnd(Utf8JsonWriter json, Notice.Exited e)
    {
        if (e.Status.IsBySignal)
        {
            json.WriteString("signal", new SignalNumber(e.Status.Signal).ToString());
            json.WriteBoolean("core", e.Status.DumpedCore);
        }
        else if (e.Status.IsKnown)
        {
            json.WriteNumber("code", e.Status.Code);
        }
        if (e.Reason is { } reason)
            json.WriteString("reason", reason);
    }
}
