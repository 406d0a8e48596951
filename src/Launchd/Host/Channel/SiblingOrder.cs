using Launchd.Client;

namespace Launchd.Host.Channel;

/// <summary>One instance's request for a sibling's descriptor, answered at once or later.</summary>
internal sealed class SiblingOrder(InstanceChannel from, string mode, bool forWriting, string name)
{
    private OutgoingLater? _later;

    public InstanceChannel From => from;

    /// <summary>How the descriptor is wanted: duplicate, direct or reopen.</summary>
    public string Mode => mode;
    public bool ForWriting => forWriting;

    /// <summary>The name of the descriptor.</summary>
    public string Name => name;

    /// <summary>Keeps the answer's place for later. False: nobody wants an answer.</summary>
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

    /// <summary>Answers with a descriptor, which is closed afterwards if it is <paramref name="isOwned"/>.</summary>
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
