using System.Runtime.CompilerServices;
using Launchd.Client;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Listening;

namespace Launchd.Host.Channel;

/// <summary>What does not change about an open descriptor: read once, and forgotten with the descriptor.</summary>
/// <param name="kind">As in <see cref="DescriptorState"/>.</param>
/// <param name="identity">The identity of the open file.</param>
/// <param name="address">As in <see cref="DescriptorState"/>.</param>
/// <param name="unasked">The socket whose address is still to be asked for; null: it is known.</param>
internal sealed class DescriptorFacts(string kind, DescriptorIdentity identity, string address = "", FileDescriptor? unasked = null)
{
    private static readonly ConditionalWeakTable<FileDescriptor, DescriptorFacts> Known = [];

    public static readonly DescriptorFacts None = new("unknown", default);

    private string _address = address;
    private FileDescriptor? _unasked = unasked;

    public string Kind => kind;
    public DescriptorIdentity Identity => identity;

    /// <summary>Whether it is a file, a directory or memory: none of those ever hangs up.</summary>
    public bool IsFile => Kind is "file" or "directory" or "memory";

    /// <summary>
    /// The address, read only when it is needed, because a holder of the socket may keep the kernel waiting (<see cref="AddressLook"/>).
    /// </summary>
    public string Address
    {
        get
        {
            if (_unasked is { IsClosed: false } socket && AddressLook.TryRead(socket, out _address))
                _unasked = null;
            return _address;
        }
    }

    /// <summary>The facts of a descriptor that the supervisor holds, remembered as long as it does.</summary>
    public static DescriptorFacts Of(FileDescriptor descriptor)
    {
        if (Known.TryGetValue(descriptor, out DescriptorFacts? known))
            return known;
        DescriptorFacts read = Read(descriptor);
        Known.Add(descriptor, read);
        return read;
    }

    /// <summary>Reads the facts of a descriptor that is held for a moment only.</summary>
    public static DescriptorFacts Read(FileDescriptor descriptor)
    {
        if (descriptor.IsClosed || DescriptorIdentity.Read(descriptor, out DescriptorIdentity identity) != Errno.None)
            return None;
        DescriptorState state = ListenerState.ReadUnlocked(descriptor, out bool hasAddress);
        return new DescriptorFacts(state.Kind, identity, state.Address, hasAddress ? null : descriptor);
    }
}
