using System.Runtime.InteropServices;
using Launchd.Client.Interop;

namespace Launchd.Client;

/// <summary>
/// An open descriptor with one owner, closed when that owner disposes it. The number is close-on-exec from birth; whoever holds this
/// object may use <see cref="Number"/>, but must not close it.
/// </summary>
internal sealed class FileDescriptor : SafeHandle
{
    /// <summary>Takes ownership of <paramref name="numberTaken"/>.</summary>
    public FileDescriptor(int numberTaken)
        : base(invalidHandleValue: -1, ownsHandle: true)
    {
        SetHandle(numberTaken);
    }

    /// <summary>The number in this process, -1 once closed.</summary>
    public int Number => IsClosed ? -1 : (int)handle;

    /// <inheritdoc/>
    public override bool IsInvalid => handle < 0;

    /// <summary>Gives the number away: the caller owns it, this object is closed and will not close it.</summary>
    public int ReleaseNumber()
    {
        int number = (int)handle;
        SetHandleAsInvalid();
        handle = -1;
        return number;
    }

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        // close(2): the descriptor is gone even after EINTR or EIO on Linux, so the result is of no use.
        _ = ClientLibc.close((int)handle);
        return true;
    }

    /// <inheritdoc/>
    public override string ToString() => Number.ToString();
}
