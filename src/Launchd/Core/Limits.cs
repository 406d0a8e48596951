namespace Launchd.Core;

/// <summary>The bounds of everything that a child, a client or a file can make grow.</summary>
internal static class Limits
{
    /// <summary>A notification longer than this is dropped: PIPE_BUF, as systemd has it.</summary>
    public const int NotificationBytes = 4096;

    /// <summary>Characters of a <c>STATUS=</c> text that are kept.</summary>
    public const int StatusTextLength = 1024;

    /// <summary>Messages of one peer that are handled in one turn of the loop.</summary>
    public const int MessagesPerTurn = 16;

    /// <summary>Requests of operators that may wait for their outcome at a time.</summary>
    public const int PendingRequestCount = 256;

    /// <summary>Events kept for <c>launchd-cs events</c>.</summary>
    public const int JournalCount = 4096;

    /// <summary>Slots of one pool.</summary>
    public const int SlotCount = 1000;

    /// <summary>Former instances of one slot that may be draining at a time; one more, and the oldest is killed.</summary>
    public const int RetiringPerSlotCount = 8;

    /// <summary>From SIGKILL until a process is given up as hanging inside the kernel.</summary>
    public static readonly TimeSpan KillGrace = TimeSpan.FromSeconds(10);

    /// <summary>Activations of a demand service and connections of a connection service, where the file does not say.</summary>
    public static readonly Model.RateLimit DemandTriggers = new(20, TimeSpan.FromSeconds(2));
    public static readonly Model.RateLimit ConnectionTriggers = new(200, TimeSpan.FromSeconds(2));

    /// <summary>Pause after accept(2) ran out of descriptors or memory; doubled each time in a row, up to the longest.</summary>
    public static readonly TimeSpan AcceptPause = TimeSpan.FromMilliseconds(100);
    public static readonly TimeSpan LongestAcceptPause = TimeSpan.FromSeconds(5);
}
