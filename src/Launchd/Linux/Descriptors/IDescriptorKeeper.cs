using Launchd.Client;

namespace Launchd.Linux.Descriptors;

/// <summary>Holds copies of descriptors, by names, for the supervisor that comes after this one.</summary>
internal interface IDescriptorKeeper
{
    /// <summary>Holds a copy of a descriptor; one that is held by this name already is let go.</summary>
    /// <param name="name">At most 127 bytes of UTF-8.</param>
    /// <param name="borrowed">Stays the caller's.</param>
    /// <param name="mayWait">
    /// It is held from now on, and whether there is room for it may be told later: the keeper is not woken for it alone.
    /// </param>
    public void Store(string name, FileDescriptor borrowed, bool mayWait = false);

    /// <summary>Lets a copy go, at the end of the turn at the latest. A name that is not held is nothing.</summary>
    /// <param name="name">As for <see cref="Store"/>.</param>
    /// <param name="isDrained">
    /// It is a socket of whose stream the end was read. Nothing can be left in it whose close would take long, as a message with a
    /// descriptor could be.
    /// </param>
    public void Drop(string name, bool isDrained = false);
}
