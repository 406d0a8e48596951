using Launchd.Client;
using Launchd.Linux.Descriptors;

namespace Launchd.Host.Channel;

/// <summary>
/// What the supervisor keeps of a published descriptor, to recognise it when it takes it later. Owns <see cref="Reference"/>.
/// </summary>
internal sealed class PublishedDescriptor(DescriptorFacts? facts, FileDescriptor? held, FileDescriptor? referenceTaken) : IDisposable
{
    /// <summary>
    /// What the descriptor was when it was published. Null: the kernel did not let the supervisor look
    /// at it, so that only the owner can give it.
    /// </summary>
    public DescriptorFacts? Facts => facts;

    /// <summary>
    /// A descriptor of the same open file description that the supervisor holds anyhow; null: it has none, or has closed it.
    /// </summary>
    public FileDescriptor? Held => held is { IsClosed: false } ? held : null;

    /// <summary>
    /// A duplicate of an event counter, a timer or the like: those all share one inode, and only the open file description tells one from
    /// another. Nobody misses an end or a hang-up because of this duplicate. Null: none is needed.
    /// </summary>
    public FileDescriptor? Reference => referenceTaken;

    /// <summary>Whether a descriptor that was taken is the one that was published.</summary>
    public bool IsMeant(FileDescriptor taken)
    {
        if (referenceTaken is not null)
            return OpenDescription.AreSame(taken, referenceTaken);
        return facts is not null && DescriptorIdentity.Read(taken, out DescriptorIdentity identity) == Errno.None
            && identity == facts.Identity;
    }

    public void Dispose() => referenceTaken?.Dispose();
}
