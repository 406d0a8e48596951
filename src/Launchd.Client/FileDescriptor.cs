using System.Runtime.InteropServices;
using System.Text;
using Launchd.Client.Interop;

namespace Launchd.Client;

/// <summary>
/// An open descriptor with one owner, closed when that owner disposes it. The number is close-on-exec from birth; whoever holds this
/// object may use <see cref="Number"/>, but must not close it.
/// </summary>
public sealed class FileDescriptor : SafeHandle
{
    private IDescriptorCloser? _closer;

    /// <summary>Takes ownership of <paramref name="numberTaken"/>.</summary>
    /// <param name="numberTaken">An open descriptor of this process that nobody else closes; close-on-exec is not set here.</param>
    public FileDescriptor(int numberTaken)
        : base(invalidHandleValue: -1, ownsHandle: true)
    {
        SetHandle(numberTaken);
    }

    /// <summary>Takes ownership, but leaves closing to <paramref name="closer"/>, because close(2) may keep its caller waiting.</summary>
    internal FileDescriptor(int numberTaken, IDescriptorCloser? closer)
        : this(numberTaken)
    {
        _closer = closer;
    }

    /// <summary>The number in this process, -1 once closed.</summary>
    public int Number => IsClosed ? -1 : (int)handle;

    /// <inheritdoc/>
    public override bool IsInvalid => handle < 0;

    /// <summary>Memory that can be passed on, memfd_create(2): no path, gone with its last descriptor.</summary>
    /// <param name="name">Shown in <c>/proc/PID/fd</c>; at most 249 bytes.</param>
    /// <param name="sizeBytes">0 and more; zeros to begin with, taken from memory only where written.</param>
    /// <exception cref="LaunchdException">The kernel refused (<see cref="LaunchdError.Kernel"/>).</exception>
    public static unsafe FileDescriptor CreateMemory(string name, long sizeBytes)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentOutOfRangeException.ThrowIfNegative(sizeBytes);
        FileDescriptor memory;
        fixed (byte* text = Encoding.UTF8.GetBytes(name + '\0'))
        {
            int number = ClientLibc.memfd_create(text, ClientLibc.MFD_CLOEXEC | ClientLibc.MFD_ALLOW_SEALING);
            memory = number >= 0 ? new FileDescriptor(number) : throw LaunchdException.Kernel("memfd_create", Errno.Last);
        }
        if (ClientLibc.ftruncate(memory.Number, sizeBytes) == 0)
            return memory;
        Errno refused = Errno.Last;
        memory.Dispose();
        throw LaunchdException.Kernel("ftruncate", refused);
    }

    /// <summary>
    /// A second descriptor for the same open file, close-on-exec: offset, O_NONBLOCK and locks are shared. The caller owns it.
    /// </summary>
    /// <exception cref="LaunchdException">The kernel refused, such as EMFILE (<see cref="LaunchdError.Kernel"/>).</exception>
    public FileDescriptor Duplicate()
    {
        using var borrowed = new Borrowed(this);
        int number = ClientLibc.fcntl(borrowed.Number, ClientLibc.F_DUPFD_CLOEXEC, 3);
        return number >= 0 ? new FileDescriptor(number) : throw LaunchdException.Kernel("fcntl(F_DUPFD_CLOEXEC)", Errno.Last);
    }

    /// <summary>Gives the number away: the caller owns it, this object is closed and will not close it.</summary>
    public int ReleaseNumber()
    {
        int number = (int)handle;
        SetHandleAsInvalid();
        handle = -1;
        return number;
    }

    /// <summary>Sets who closes it once it is known which service the descriptor came from; until then its receiver does.</summary>
    internal void CloseBy(IDescriptorCloser closer) => _closer = closer;

    /// <inheritdoc/>
    protected override bool ReleaseHandle()
    {
        if (_closer is { } closer)
        {
            closer.Close((int)handle);
            return true;
        }
        // close(2): the descriptor is gone even after EINTR or EIO on Linux, so the result is of no use.
        _ = ClientLibc.close((int)handle);
        return true;
    }

    /// <summary>The number.</summary>
    public override string ToString() => Number.ToString();
}
