using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.AcceptanceTests;

/// <summary>A datagram service of inetd's kind "wait", with a real one: asked, gone by itself, asked again.</summary>
public sealed class InetdWaitTests
{
    private const UnixFileMode ReadableByAll = UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute
        | UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute;

    [NeedsToolFact("atftpd")]
    public async Task ATftpServerServesAFile_Ends_AndIsStartedByTheNextDatagram()
    {
        await using Supervisor supervisor = Supervisor.StartCase("atftpd", scratch =>
        {
            // It drops its privileges before it reads.
            File.SetUnixFileMode(scratch.FolderPath, ReadableByAll);
            File.WriteAllText(scratch.At("greeting"), "by tftp\n");
            scratch.Write("config.toml",
                File.ReadAllText(scratch.At("config.toml")).Replace("${ROOT}", scratch.FolderPath, StringComparison.Ordinal));
        });
        IPEndPoint address = await supervisor.Address("tftp");
        for (int life = 1; life <= 2; life++)
        {
            Assert.Equal("by tftp\n", await Fetch(address, "greeting"));
            Happening exited = await supervisor.Event("exited", "tftp", life);
            Assert.Equal("0", exited.Text("code"));
        }
        Assert.Equal(2, supervisor.Events.All().Count(e => e.Kind == "activated"));
        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>RFC 1350: a request, answered from another port by one block of data, which is acknowledged.</summary>
    private static async Task<string> Fetch(IPEndPoint address, string file)
    {
        using UdpClient client = new(new IPEndPoint(IPAddress.Loopback, 0));
        byte[] request = [0, 1, .. Encoding.ASCII.GetBytes(file), 0, .. "octet"u8, 0];
        await client.SendAsync(request, address);
        UdpReceiveResult block = await Deadline.Await(client.ReceiveAsync(), "data", () => "");
        Assert.Equal(
            (3, 1), (BinaryPrimitives.ReadInt16BigEndian(block.Buffer), BinaryPrimitives.ReadInt16BigEndian(block.Buffer.AsSpan(2))));
        await client.SendAsync(new byte[] { 0, 4, 0, 1 }, block.RemoteEndPoint);
        return Encoding.ASCII.GetString(block.Buffer.AsSpan(4));
    }
}
