using Launchd.Client;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Descriptors;

/// <summary>
/// One descriptor kept for the time when no other is left (EMFILE, ENFILE): its place is lent to a client that must be heard even then,
/// above all an operator. Owns the descriptor while it is not lent.
/// </summary>
internal sealed class DescriptorReserve : IDisposable
{
    private FileDescriptor? _held;

    public DescriptorReserve() => TakeBack();

    /// <summary>Frees the place of one descriptor. False: the place is lent already.</summary>
    public bool Lend()
    {
        if (_held is null)
            return false;
        _held.Dispose();
        _held = null;
        return true;
    }

    /// <summary>Whether the reserve is there again; false as long as there is no place for it.</summary>
    public bool TakeBack()
    {
        _held ??= Files.Open(null, "/dev/null", Tmds.Linux.LibC.O_PATH | Tmds.Linux.LibC.O_CLOEXEC, 0, out _);
        return _held is not null;
    }

    public void Dispose()
    {
        _held?.Dispose();
        _held = null;
    }
}
