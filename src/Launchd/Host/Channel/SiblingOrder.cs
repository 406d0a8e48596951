using Launchd.Client;

namespace Launchd.Host.Channel;

/// <summary>One request, and where its answer goes: at once, or later.</summary>
internal sealed class SiblingOrder(InstanceChannel from, string mode, bool forWriting, string name)
{
    private OutgoingLater? _later;

    public InstanceChannel From => from;

    /// <summary>duplicate, direct or reopen.</summary>
    public string Mode => mode;
    public bool ForWriting => forWriting;

    /// <summary>Of the descriptor.</summary>
    public string Name => name;

    /// <summary>The answer comes later. False: nobody wants one.</summary>
    public bool ReplyLater()
    {
        _later ??= From.AnswerLater();
        return _later is not null;
    }

    public void Reply(ReadOnlySpan<byte> packet)
    {
        if (_later is { } later)
            later.Complete(packet);
        else
            From.Answer(packet);
    }

    /// <summary>With a descriptor, which is closed afterwards if it is <paramref name="isOwned"/>.</summary>
    public void Reply(ReadOnlySpan<byte> packet, FileDescriptor descriptor, bool isOwned)
    {
        if (_later is { } later)
            later.Complete(packet, descriptor, isOwned);
        else if (isOwned)
            From.AnswerOwned(packet, descriptor);
        else
            From.Answer(packet, descriptor);
    }
}
