namespace Launchd.Linux.Sockets;

/// <summary>
/// The queues of all Unix sockets of the machine, for those who look at many of them: the kernel is asked once, by whoever looks first, on
/// that thread. From any thread.
/// </summary>
internal sealed class UnixQueues
{
    private readonly Lazy<Dictionary<uint, (int QueueCount, int BacklogCount)>?> _all = new(UnixDiagnostics.ReadQueues);

    /// <summary>As <see cref="UnixDiagnostics.ReadQueues"/> gives them.</summary>
    public IReadOnlyDictionary<uint, (int QueueCount, int BacklogCount)>? All => _all.Value;
}
