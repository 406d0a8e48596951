using Launchd.Client;
using Launchd.Interop;

namespace Launchd.Linux.Loop;

/// <summary>
/// What wakes another process that has a copy of the descriptor (eventfd(2)), where messages alone do not: it is readable from
/// <see cref="Ring"/> until <see cref="Clear"/>.
/// </summary>
internal sealed unsafe class Bell : IDisposable
{
    /// <param name="descriptorTaken">Non-blocking.</param>
    public Bell(FileDescriptor descriptorTaken) => Descriptor = descriptorTaken;

    /// <summary>Null: the kernel has no memory, or this process no number, for another descriptor.</summary>
    public static Bell? TryOpen() =>
        Libc.eventfd(0, Libc.EFD_CLOEXEC | Libc.EFD_NONBLOCK) is >= 0 and int number ? new Bell(new FileDescriptor(number)) : null;

    /// <summary>Owned by this object.</summary>
    public FileDescriptor Descriptor { get; }

    public void Ring()
    {
        // Refused only when it has been rung 2^64 times and nobody has cleared it: then it rings.
        ulong once = 1;
        _ = Libc.write(Descriptor.Number, &once, sizeof(ulong));
    }

    public void Clear()
    {
        ulong count;
        _ = Libc.read(Descriptor.Number, &count, sizeof(ulong));
    }

    public void Dispose() => Descriptor.Dispose();
}
