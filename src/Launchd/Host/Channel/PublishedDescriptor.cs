using Launchd.Client;
using Launchd.Linux.Descriptors;

namespace Launchd.Host.Channel;

/// <summary>
/// What the supervisor keeps of a publication, so as to know the object again. Owns <see cref="Reference"/>.
/// </summary>
internal sealed class PublishedDescriptor(DescriptorFacts? facts, FileDescriptor? held, FileDescriptor? referenceTaken) : IDisposable
{
    /// <summary>Null: the kernel did not let the supervisor look at it, so that only the owner can give it.</summary>
    public DescriptorFacts? Facts => facts;

    /// <summary>The same open file description in the supervisor's own hands; null: it has none, or has closed it.</summary>
    public FileDescriptor? Held => held is { IsClosed: false } ? held : null;

    /// <summary>
    /// A duplicate of an event counter, a timer or the like: those share one inode, and only the open file description tells one from
    /// another. Nothing ends or hangs up because of it.
    /// </summary>
    public FileDescriptor? Reference => referenceTaken;

    /// <summary>Whether a descriptor that was taken is what was published.</summary>
    public bool IsMeant(FileDescriptor taken)
    {
        if (referenceTaken is not null)
            return OpenDescription.AreSame(taken, referenceTaken);
        return facts is not null && DescriptorIdentity.Read(taken, out DescriptorIdentity identity) == Errno.None
            && identity == facts.Identity;
    }

    public void Dispose() => referenceTaken?.Dispose();
}
