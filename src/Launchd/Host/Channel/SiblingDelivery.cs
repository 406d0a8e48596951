using System.Text.Json;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Core;
using Launchd.Core.Sharing;
using Launchd.Host.Instances;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Host.Notices;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;

namespace Launchd.Host.Channel;

/// <summary>
/// Gets a sibling's descriptor for the instance that asks: the supervisor has it itself, or takes it by
/// pidfd_getfd(2), or, where the kernel refuses that, asks the owner. A taken descriptor is looked at before it is
/// sent; the number in the owner's table is never trusted.
/// </summary>
internal sealed class SiblingDelivery(
    ChannelServer server, RunningInstances instances, NoticeReporter notices, SlowLanes lanes, Mailbox mailbox, Delays delays)
{
    private readonly Dictionary<long, Ask> _asks = [];
    private long _askCount;

    private PacketWriter Packet => server.Packet;

    private SlowLane LaneOf(Publication published) => lanes.Of(published.Owner.Service);

    /// <summary>An owner gives the descriptor for which it was asked, or refuses.</summary>
    public void Give(InstanceChannel from, long ask, ReceivedDescriptors descriptors)
    {
        if (!_asks.TryGetValue(ask, out Ask? asked) || asked.Published.Owner != from.Instance.Id)
        {
            from.Answer(ChannelMethods.BadRequest(Packet, "ask", "nobody waits for it, or waits any more"));
            return;
        }
        if (descriptors.Count > 1 || (descriptors.Count == 1 && ChannelMethods.WhyNotKept(descriptors[0]!) is not null))
        {
            from.Answer(ChannelMethods.BadRequest(Packet, "descriptors", "Give takes one descriptor, or none to refuse"));
            return;
        }
        _ = _asks.Remove(ask);
        delays.Cancel(asked);
        from.Answer(PacketWriter.Empty);
        if (descriptors.Count == 0)
            asked.Order.Reply(Packet.Error("NoSuchDescriptor", ("name", asked.Published.Name), ("text", "its owner does not give it")));
        else
            SendGiven(asked, descriptors.Take(0));
    }

    /// <summary>An owner is over: the instances that wait for its descriptors are told.</summary>
    public void Forget(InstanceId over)
    {
        foreach (Ask asked in _asks.Values.Where(a => a.Published.Owner == over).ToArray())
        {
            _ = _asks.Remove(asked.Id);
            delays.Cancel(asked);
            asked.Order.Reply(Packet.Error("NotReady", ("service", over.Service.Text), ("text", "the instance that was asked has ended")));
        }
    }

    /// <summary>Answers a request for a descriptor that is published, by the first way that works.</summary>
    public void Serve(SiblingOrder order, Publication published, PublishedDescriptor record)
    {
        if (instances.Find(published.Owner) is not { Process: { } process, MainEnded: false })
        {
            order.Reply(OwnerEnded(published));
            return;
        }
        if (order.Mode == "duplicate" && record.Held is { } held)
        {
            Send(order, published, "held", record.Facts!, held, isOwned: false);
            return;
        }
        FileDescriptor? taken = ProcessDescriptors.Take(process, published.Number, LaneOf(published), out Errno refused);
        if (taken is null)
        {
            ServeRefused(order, published, record, process, refused);
        }
        else if (record.Facts is null)
        {
            // The descriptor could not be looked at when it was published, so the number may mean anything now.
            taken.Dispose();
            AskOwner(order, published, "pidfd_getfd", Errno.EPERM, "the descriptor could not be looked at when it was published");
        }
        else if (!record.IsMeant(taken))
        {
            taken.Dispose();
            order.Reply(Packet.Error("Stale", ("name", published.Name)));
        }
        else
        {
            ServeTaken(order, published, record, process, taken);
        }
    }

    private void ServeTaken(
        SiblingOrder order, Publication published, PublishedDescriptor record, ProcessHandle process, FileDescriptor taken)
    {
        switch (order.Mode)
        {
            case "duplicate":
                Send(order, published, "taken", record.Facts!, taken, isOwned: true);
                break;
            case "reopen":
                ReopenOfOwner(order, published, taken);
                break;
            default:
                taken.Dispose();
                SendDirect(order, published, record.Facts!, process);
                break;
        }
    }

    private void ServeRefused(SiblingOrder order, Publication published, PublishedDescriptor record, ProcessHandle process, Errno refused)
    {
        if (refused == Errno.EBADF)
            order.Reply(Packet.Error("Stale", ("name", published.Name)));
        else if (refused == Errno.ESRCH)
            order.Reply(OwnerEnded(published));
        else if (refused == Errno.EMFILE || refused == Errno.ENFILE)
            order.Reply(Packet.Error("LimitReached", ("limit", "descriptors of the supervisor: raise its limit nofile")));
        else if (order.Mode == "direct")
            SendDirect(order, published, record.Facts, process);
        else
            AskOwner(order, published, "pidfd_getfd", refused, ProcessDescriptors.Explain(refused, process));
    }

    /// <summary>
    /// Asks the owner to send the descriptor, which the kernel does not let the supervisor take. Only
    /// an owner that watches its channel can.
    /// </summary>
    private void AskOwner(SiblingOrder order, Publication published, string call, Errno refused, string cause)
    {
        if (server.Find(published.Owner) is not { IsWatching: true } owner)
        {
            RefuseByKernel(order, call, refused, cause);
            return;
        }
        if (!order.ReplyLater())
            return;
        Ask asked = new(++_askCount, order, published);
        _asks.Add(asked.Id, asked);
        string inVain = $"{cause} (it watches, but did not give it within {Limits.GivePatience.TotalSeconds:0} s)";
        delays.Limit(Limits.GivePatience, asked, () =>
        {
            if (_asks.Remove(asked.Id))
                RefuseByKernel(order, call, refused, inVain);
        });
        Utf8JsonWriter json = Packet.Begin();
        json.WriteString("event", "Wanted");
        json.WriteNumber("ask", asked.Id);
        json.WriteString("name", published.Name);
        json.WriteNumber("number", published.Number);
        json.WriteString("service", order.From.Instance.Id.Service.Text);
        owner.Tell(Packet.End(continues: true));
    }

    private void SendGiven(Ask asked, FileDescriptor given)
    {
        if (asked.Order.Mode == "reopen")
        {
            ReopenOfOwner(asked.Order, asked.Published, given);
        }
        else
        {
            Send(asked.Order, asked.Published, "given", DescriptorFacts.Read(given), given, isOwned: true);
        }
    }

    /// <summary>
    /// Opens the file of a descriptor anew and answers with the new open file description. The source is closed afterwards if it is
    /// <paramref name="isOwned"/>. The file system may be the owner's own, so it is asked in the owner's lane and must answer in time.
    /// </summary>
    /// <param name="order">Who asks, and for what.</param>
    /// <param name="published">The publication that was asked for.</param>
    /// <param name="source">The descriptor whose file is opened anew.</param>
    /// <param name="isOwned">Whether the source belongs to this call.</param>
    /// <param name="rights">Whose rights count; null: the supervisor's own, because the configuration names the file.</param>
    public void Reopen(SiblingOrder order, Publication published, FileDescriptor source, bool isOwned, Credentials? rights)
    {
        SlowLane lane = LaneOf(published);
        FileDescriptor? mine = isOwned ? source : Files.Duplicate(source, lane, out _);
        Opening opening = new();
        if (mine is null || !order.ReplyLater() || !lane.TryRun(() => Open(opening)))
        {
            mine?.Dispose();
            order.Reply(Packet.Error("LimitReached", ("limit", "descriptors that are being opened and closed for the owner")));
            return;
        }
        delays.Limit(Limits.GivePatience, opening, () =>
        {
            opening.IsOver = true;
            RefuseByKernel(
                order, "open", Errno.ETIMEDOUT, $"its file system has not answered within {Limits.GivePatience.TotalSeconds:0} s");
        });

        void Open(Opening opening)
        {
            FileDescriptor? opened = ProcessDescriptors.Reopen(mine, order.ForWriting, rights, lane, out Errno refused);
            mailbox.Post(() =>
            {
                mine.Dispose();
                if (opening.IsOver)
                {
                    opened?.Dispose();
                    return;
                }
                delays.Cancel(opening);
                AnswerReopened(order, published, opened, refused);
            });
        }
    }

    /// <summary>
    /// Opens the file anew with the rights of the instance that published it. They are read by the pid of its main process, which is a
    /// child of ours, so the pid means it until the loop has reaped it.
    /// </summary>
    private void ReopenOfOwner(SiblingOrder order, Publication published, FileDescriptor sourceTaken)
    {
        RunningInstance? owner = instances.Find(published.Owner);
        if (owner is { Process: { } process, MainEnded: false } && ProcessDescriptors.RightsOf(process.Pid) is { } rights)
        {
            Reopen(order, published, sourceTaken, isOwned: true, rights);
            return;
        }
        sourceTaken.Dispose();
        order.Reply(OwnerEnded(published));
    }

    private void AnswerReopened(SiblingOrder order, Publication published, FileDescriptor? opened, Errno refused)
    {
        if (opened is not null)
        {
            Send(order, published, "reopened", DescriptorFacts.Read(opened), opened, isOwned: true);
            return;
        }
        string cause = refused == Errno.ENXIO
                ? "a socket cannot be opened again: ask with mode duplicate"
            : refused == Errno.EOPNOTSUPP
                ? "only a regular file of a disk, of a network or in memory is opened again: ask with mode duplicate"
            : refused == Errno.EACCES
                ? $"the published descriptor is not open for {Access(order)}, or its owner may not open it for {Access(order)} any more"
            : refused.Text;
        RefuseByKernel(order, "open", refused, cause);
    }

    private static string Access(SiblingOrder order) => order.ForWriting ? "writing" : "reading";

    /// <summary>Answers with the descriptor, which is closed afterwards if it is <paramref name="isOwned"/>.</summary>
    public void Send(SiblingOrder order, Publication published, string way, DescriptorFacts facts, FileDescriptor descriptor, bool isOwned)
    {
        Utf8JsonWriter json = BeginAnswer(published, way);
        json.WriteStartArray("descriptors");
        OutgoingList.WriteEntry(json, new ListedDescriptor(published.Name, "sibling", null, facts), 0);
        json.WriteEndArray();
        order.Reply(Packet.End(), descriptor, isOwned);
        Report(order, published, way);
    }

    private void SendDirect(SiblingOrder order, Publication published, DescriptorFacts? facts, ProcessHandle process)
    {
        Utf8JsonWriter json = BeginAnswer(published, "direct");
        json.WriteNumber("number", published.Number);
        if (facts is not null)
        {
            json.WriteNumber("device", facts.Identity.DeviceNumber);
            json.WriteNumber("inode", facts.Identity.Inode);
        }
        json.WriteStartArray("descriptors");
        OutgoingList.WriteEntry(json, new ListedDescriptor(published.Name, "sibling", null, new DescriptorFacts("pidfd", default)), 0);
        json.WriteEndArray();
        order.Reply(Packet.End(), process.Descriptor, isOwned: false);
        Report(order, published, "direct");
    }

    private Utf8JsonWriter BeginAnswer(Publication published, string way)
    {
        Utf8JsonWriter json = Packet.Begin();
        json.WriteString("way", way);
        json.WriteString("service", published.Owner.Service.Text);
        json.WriteNumber("slot", published.Slot);
        json.WriteNumber("generation", published.Generation);
        return json;
    }

    private ReadOnlySpan<byte> OwnerEnded(Publication published) =>
        Packet.Error("NotReady", ("service", published.Owner.Service.Text), ("text", "the instance that published it has ended"));

    private void RefuseByKernel(SiblingOrder order, string call, Errno refused, string cause) =>
        order.Reply(Packet.Error("NotPermittedByKernel", ("call", call), ("errno", ErrnoNames.Of(refused)), ("cause", cause)));

    private void Report(SiblingOrder order, Publication published, string way)
    {
        if (!ChannelServer.MayReport(order.From, out long skipped))
            return;
        int pid = instances.Find(published.Owner)?.Process?.Pid ?? 0;
        notices.Report(new Notice.DescriptorSent(published.Owner, published.Slot, published.Generation, pid, published.Name,
            order.From.Instance.Label, way, skipped));
    }

    /// <summary>A descriptor that an owner was asked to give.</summary>
    private sealed record Ask(long Id, SiblingOrder Order, Publication Published);

    /// <summary>A file that is being opened.</summary>
    private sealed class Opening
    {
        /// <summary>The file system took too long, and the asking instance was told.</summary>
        public bool IsOver { get; set; }
    }
}
