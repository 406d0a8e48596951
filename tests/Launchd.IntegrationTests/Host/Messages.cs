using System.Buffers.Binary;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Sends one message to a listener of any kind, as its clients would.</summary>
internal static partial class Messages
{
    public static async Task Send(Supervisor supervisor, string listen, string text)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        string kind = listen[..listen.IndexOf(':')], place = listen[(listen.IndexOf(':') + 1)..];
        switch (kind)
        {
            case "fifo":
                await File.WriteAllBytesAsync(supervisor.Scratch.At(place), bytes);
                return;
            case "mqueue":
                SendToQueue(place, bytes);
                return;
            case "netlink":
                SendByNetlink(await supervisor.Pid(), bytes);
                return;
            case "unix-dgram":
                using (Socket socket = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified))
                    _ = await socket.SendToAsync(bytes, new UnixDomainSocketEndPoint(supervisor.Scratch.At(place)));
                return;
            case "unix-seqpacket":
                using (Socket socket = new(AddressFamily.Unix, SocketType.Seqpacket, ProtocolType.Unspecified))
                {
                    await socket.ConnectAsync(new UnixDomainSocketEndPoint(supervisor.Scratch.At(place)));
                    byte[] greeting = new byte[64];
                    Assert.True(await Deadline.Await(socket.ReceiveAsync(greeting), "greeting", supervisor.Events.ToString) > 0);
                }
                return;
            default:
                throw new ArgumentException($"no way to send to {listen}", nameof(listen));
        }
    }

    private static unsafe void SendToQueue(string name, byte[] bytes)
    {
        int number = mq_open(name, 1 | 0x80000, 0, 0);
        Assert.True(number >= 0, $"mq_open: {Errno.Last.Text}");
        using FileDescriptor queue = new(number);
        fixed (byte* start = bytes)
            Assert.Equal(0, mq_send(queue.Number, start, (nuint)bytes.Length, 0));
    }

    // netlink(7): the first socket of a process has its pid for an address; root may write to another process's.
    private static unsafe void SendByNetlink(int pid, byte[] bytes)
    {
        using FileDescriptor socket = new(Tmds.Linux.LibC.socket(16, Tmds.Linux.LibC.SOCK_RAW | Tmds.Linux.LibC.SOCK_CLOEXEC, 0));
        byte[] message = new byte[16 + bytes.Length], to = new byte[12];
        BinaryPrimitives.WriteInt32LittleEndian(message, message.Length);
        bytes.CopyTo(message, 16);
        BinaryPrimitives.WriteInt16LittleEndian(to, 16);
        BinaryPrimitives.WriteInt32LittleEndian(to.AsSpan(4), pid);
        fixed (byte* start = message, address = to)
            Assert.Equal(message.Length, sendto(socket.Number, start, (nuint)message.Length, 0, address, 12));
    }

    [LibraryImport("libc", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int mq_open(string name, int flags, uint mode, nint attributes);

    [LibraryImport("libc", SetLastError = true)]
    private static unsafe partial int mq_send(int queue, byte* message, nuint length, uint priority);

    [LibraryImport("libc", SetLastError = true)]
    private static unsafe partial nint sendto(int socket, byte* message, nuint length, int flags, byte* address, uint addressLength);
}
