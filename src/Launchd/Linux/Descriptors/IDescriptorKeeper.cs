using Launchd.Client;

namespace Launchd.Linux.Descriptors;

/// <summary>Holds copies of descriptors, by names, for the supervisor that comes after this one.</summary>
internal interface IDescriptorKeeper
{
    /// <summary>Holds a copy of a descriptor; one that is held by this name already is let go.</summary>
    /// <param name="name">At most 127 bytes of UTF-8.</param>
    /// <param name="borrowed">Stays the caller's.</param>
    public void Store(string name, FileDescriptor borrowed);

    /// <summary>Lets a copy go. A name that is not held is nothing.</summary>
    public void Drop(string name);
}
