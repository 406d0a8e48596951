using Launchd.Client.Interop;

namespace Launchd.Client;

/// <summary>One received message with the descriptors that came along. Dispose it to close those that were not taken.</summary>
public sealed class DescriptorMessage : IDisposable
{
    private readonly FileDescriptor?[] _descriptors;

    internal DescriptorMessage(int length, FileDescriptor[] descriptorsTaken, in ReceivedControl beside)
    {
        Length = length;
        _descriptors = descriptorsTaken;
        IsEndOfStream = length == 0 && descriptorsTaken.Length == 0 && beside.IsBare;
        SenderPid = beside.HasCredentials ? beside.Pid : null;
        SenderUid = beside.HasCredentials ? beside.Uid : null;
    }

    /// <summary>Bytes in the caller's buffer.</summary>
    public int Length { get; }

    /// <summary>
    /// The other end is closed and everything was read. A message without bytes and descriptors looks the same, unless the socket has
    /// SO_PASSCRED.
    /// </summary>
    public bool IsEndOfStream { get; }

    /// <summary>How many descriptors came, taken ones included.</summary>
    public int Count => _descriptors.Length;

    /// <summary>
    /// The sender's process, if the socket has SO_PASSCRED; a privileged sender may claim another's. 0: in another namespace.
    /// </summary>
    public int? SenderPid { get; }

    /// <summary>The sender's user, if the socket has SO_PASSCRED; a privileged sender may claim another's.</summary>
    public uint? SenderUid { get; }

    /// <summary>Gives one away: the caller owns it.</summary>
    /// <param name="index">From 0, in the sender's order.</param>
    /// <exception cref="ObjectDisposedException">It was taken before.</exception>
    public FileDescriptor Take(int index) =>
        Interlocked.Exchange(ref _descriptors[index], null) ?? throw new ObjectDisposedException($"descriptor {index} of the message");

    /// <summary>Closes what was not taken.</summary>
    public void Dispose()
    {
        for (int i = 0; i < _descriptors.Length; i++)
            Interlocked.Exchange(ref _descriptors[i], null)?.Dispose();
    }
}
