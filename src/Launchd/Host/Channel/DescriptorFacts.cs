using System.Runtime.CompilerServices;
using Launchd.Client;
using Launchd.Linux;

namespace Launchd.Host.Channel;

/// <summary>What does not change about an open descriptor: read once, and forgotten with it.</summary>
internal sealed record DescriptorFacts(string Kind, string Address, DescriptorIdentity Identity)
{
    private static readonly ConditionalWeakTable<FileDescriptor, DescriptorFacts> Known = [];

    public static readonly DescriptorFacts None = new("unknown", "", default);

    /// <summary>It is in a file system: nothing ever hangs up there.</summary>
    public bool IsFile => Kind is "file" or "directory" or "memory";

    /// <summary>Of a descriptor that the supervisor holds.</summary>
    public static DescriptorFacts Of(FileDescriptor descriptor)
    {
        if (Known.TryGetValue(descriptor, out DescriptorFacts? known))
            return known;
        DescriptorFacts read = Read(descriptor);
        Known.Add(descriptor, read);
        return read;
    }

    /// <summary>Of one that is held for a moment only.</summary>
    public static DescriptorFacts Read(FileDescriptor descriptor)
    {
        if (descriptor.IsClosed || DescriptorIdentity.Read(descriptor, out DescriptorIdentity identity) != Errno.None)
            return None;
        DescriptorState state = ListenerState.Read(descriptor);
        return new DescriptorFacts(state.Kind, state.Address, identity);
    }
}
