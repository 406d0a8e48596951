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

    /// <summary>Instances that are started before everything else is looked at once: some milliseconds.</summary>
    public const int StartsPerTurn = 16;

    /// <summary>Services that are told to end before everything else is looked at once: some milliseconds.</summary>
    public const int StopsPerTurn = 64;

    /// <summary>One packet of an instance channel.</summary>
    public const int PacketBytes = 65_536;

    /// <summary>Descriptors beside one packet of an instance channel.</summary>
    public const int PacketDescriptorCount = 128;

    /// <summary>
    /// Answers and events that may wait until one program reads them, beside those in the kernel's
    /// queue; with one more its channel is closed.
    /// </summary>
    public const int UnreadPacketCount = 64;

    /// <summary>Names that one instance may have published at a time.</summary>
    public const int PublishedCount = 256;

    /// <summary>
    /// Published descriptors without an inode of their own (event counters, timers and the like): to know one again, the supervisor must
    /// hold a copy. So many copies for all instances of a service, and likewise a bound for all services.
    /// </summary>
    public const int ReferencesPerServiceCount = 64;
    public const int ReferenceCount = 1024;

    /// <summary>Descriptors that wait for a successor to watch its channel, and for all successors together.</summary>
    public const int HandedOverCount = 1024;
    public const int HandedOverInAllCount = 4096;

    /// <summary>Longest name of a descriptor, as systemd has it.</summary>
    public const int LongestDescriptorName = 255;

    /// <summary>
    /// Characters of the names in a store together, each with its separator: half of what one variable of a program may have (128 KiB);
    /// the other half is for the names of the configuration.
    /// </summary>
    public const int StoredNamesLength = 64 << 10;

    /// <summary>Descriptors that come with the notifications of one instance and are looked at in one turn of the loop.</summary>
    public const int DescriptorsPerTurn = 256;

    /// <summary>The memory of <c>SaveState</c>.</summary>
    public const long StateBytes = 64L << 20;

    /// <summary>From the order to start an instance until its own connections (<c>connect</c>) must stand.</summary>
    public static readonly TimeSpan ConnectPatience = TimeSpan.FromSeconds(5);

    /// <summary>How long a program that was told to reload may take to say that it does.</summary>
    public static readonly TimeSpan ReloadAnnouncement = TimeSpan.FromSeconds(1);

    /// <summary>
    /// How long after its reload signal a program that ends by itself has ended because of it. Most that die of the signal do so at once,
    /// but those that first finish what they serve, or execute themselves again and fail then, take seconds: cupsd 2, uwsgi 3.3.
    /// </summary>
    public static readonly TimeSpan ReloadEnd = TimeSpan.FromSeconds(5);

    /// <summary>How long an owner may take to give what was asked of it.</summary>
    public static readonly TimeSpan GivePatience = TimeSpan.FromSeconds(5);

    /// <summary>
    /// How long the supervisor may have to hold back reading from a program, because of what it sent, before the program loses its channel.
    /// </summary>
    public static readonly TimeSpan HeldUpPatience = TimeSpan.FromSeconds(5);

    /// <summary>Requests of operators that may wait for their outcome at a time.</summary>
    public const int PendingRequestCount = 256;

    /// <summary>Events kept for <c>launchd-cs events</c>.</summary>
    public const int JournalCount = 4096;

    /// <summary>Slots of one pool.</summary>
    public const int SlotCount = 1000;

    /// <summary>Former instances of one slot that may be draining at a time; one more, and the oldest is killed.</summary>
    public const int RetiringPerSlotCount = 8;

    /// <summary>First pause between two looks at the queues of an instance that is to end; doubled up to four times.</summary>
    public static readonly TimeSpan QueuePause = TimeSpan.FromMilliseconds(10);

    /// <summary>How long queues may take to get empty where a service has no stop timeout.</summary>
    public static readonly TimeSpan QueuePatience = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Pause between the two SIGABRT after a silent watchdog; half of the stop timeout where that is shorter than twice this.
    /// </summary>
    public static readonly TimeSpan AbortPause = TimeSpan.FromSeconds(1);

    /// <summary>Interrupts that come within this are one: terminals and wrappers send two for one Ctrl-C.</summary>
    public static readonly TimeSpan OneInterrupt = TimeSpan.FromMilliseconds(500);

    /// <summary>From SIGKILL until a process is given up as hanging inside the kernel.</summary>
    public static readonly TimeSpan KillGrace = TimeSpan.FromSeconds(10);

    /// <summary>From SIGTERM to SIGKILL for what services left behind, when the supervisor ends.</summary>
    public static readonly TimeSpan StrayPatience = TimeSpan.FromSeconds(2);

    /// <summary>Activations of a demand service and connections of a connection service, where the file does not say.</summary>
    public static readonly Model.RateLimit DemandTriggers = new(20, TimeSpan.FromSeconds(2));
    public static readonly Model.RateLimit ConnectionTriggers = new(200, TimeSpan.FromSeconds(2));

    /// <summary>
    /// Pause after the supervisor ran out of descriptors, memory or processes; doubled each time in a row, up to the longest.
    /// </summary>
    public static readonly TimeSpan ShortagePause = TimeSpan.FromMilliseconds(100);
    public static readonly TimeSpan LongestShortagePause = TimeSpan.FromSeconds(5);

    /// <summary>
    /// After a shortage the services are tried again one after another, at this distance: if there is never enough for all of them,
    /// hundreds of attempts a second would take what those that run need.
    /// </summary>
    public static readonly TimeSpan ShortageDistance = TimeSpan.FromMilliseconds(250);
}
