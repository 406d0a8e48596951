using System.Net.Sockets;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.Linux.Sockets;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Sends datagrams to an instance's notify socket from this process, which is no process of that instance.</summary>
internal sealed class Sender : IDisposable
{
    private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);

    // The same socket for our own call, which can attach descriptors; the one above closes it.
    private readonly FileDescriptor _borrowed;

    public Sender(Supervisor supervisor, long instance = 1)
    {
        _socket.Connect(new UnixDomainSocketEndPoint(supervisor.Scratch.At($"run/notify/{instance}")));
        _borrowed = new FileDescriptor((int)_socket.Handle);
    }

    public void Send(string text, params ReadOnlySpan<FileDescriptor> descriptors) => Send(Encoding.UTF8.GetBytes(text), descriptors);

    /// <summary>Waits where the socket is full, which it is when the supervisor is busy with it.</summary>
    public void Send(byte[] bytes, params ReadOnlySpan<FileDescriptor> descriptors)
    {
        SendResult sent = UnixSocket.Send(_borrowed, bytes, descriptors);
        while (sent.Outcome == SendOutcome.WouldBlock)
        {
            Assert.True(_socket.Poll(Deadline.Generous, SelectMode.SelectWrite), "the notify socket stays full");
            sent = UnixSocket.Send(_borrowed, bytes, descriptors);
        }
        Assert.Equal(SendOutcome.Sent, sent.Outcome);
    }

    public void Dispose()
    {
        _borrowed.SetHandleAsInvalid();
        _borrowed.Dispose();
        _socket.Dispose();
    }
}
