using System.Net.Sockets;
using System.Runtime.InteropServices;
using Launchd.Client.Interop;
using Launchd.Client.Tests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.Client.Tests;

/// <summary>
/// What the kernel tests its own SCM_RIGHTS with, restated for the library: sockets that are sent to each other in rings, of which nothing
/// may be left when the last outside descriptor is closed; a receiver that takes none; peers that go with messages unread.
/// </summary>
public sealed class ScmRightsTests
{
    private const int SO_PASSRIGHTS = 83, SO_PASSPIDFD = 76, EPERM = 1;

    public static TheoryData<SocketType, string> Rings
    {
        get
        {
            TheoryData<SocketType, string> all = [];
            foreach (SocketType type in (SocketType[])[SocketType.Dgram, SocketType.Stream, SocketType.Seqpacket])
            {
                foreach (string ring in (string[])["self", "triangle", "cross edge", "backtrack", "mixed low point"])
                    all.Add(type, ring);
            }
            return all;
        }
    }

    [Theory]
    [MemberData(nameof(Rings))]
    public async Task SocketsSentAroundInARing_AreGoneWithTheLastDescriptor(SocketType type, string ring)
    {
        // Who is sent to whom: what is sent to n waits unread in n's queue.
        (int Sent, int To)[] edges = ring switch
        {
            "self" => [(0, 0), (1, 1)],
            "triangle" => [(0, 1), (1, 2), (2, 0)],
            "cross edge" => [(0, 1), (1, 2), (2, 1), (1, 3), (3, 4), (4, 3)],
            "backtrack" => [(0, 1), (1, 2), (1, 3), (3, 2), (2, 0), (3, 4), (4, 3)],
            _ => [(0, 1), (1, 2), (2, 3), (3, 2), (3, 0), (2, 1)],
        };
        (Socket In, Socket Out)[] pairs = [.. Enumerable.Range(0, 5).Select(_ => DescriptorSocket.CreatePair(type))];
        ulong[] inodes = [.. pairs.Select(p => Kernel.Inode((int)p.In.SafeHandle.DangerousGetHandle()))];
        foreach ((int sent, int to) in edges)
            await pairs[to].Out.SendDescriptorsAsync("x"u8.ToArray(), [pairs[sent].In.SafeHandle]);
        foreach ((Socket inner, Socket outer) in pairs)
        {
            inner.Dispose();
            outer.Dispose();
        }

        // The kernel collects in the background, and begins to when a Unix socket is closed.
        await Patience.Until(() =>
        {
            (Socket first, Socket second) = DescriptorSocket.CreatePair();
            first.Dispose();
            second.Dispose();
            HashSet<ulong> living = UnixSockets();
            return !inodes.Any(living.Contains);
        }, "end of the ring's sockets");
    }

    [FactWhenKernel(6, 16)]
    public async Task AReceiverThatTakesNone_IsToldToTheSender_AndPlainBytesPass()
    {
        (Socket first, Socket second) = DescriptorSocket.CreatePair();
        using (first)
        using (second)
        {
            Assert.Equal(Errno.None, Kernel.SetOption(second.SafeHandle, SO_PASSRIGHTS, 0));

            LaunchdException refused = await Assert.ThrowsAsync<LaunchdException>(
                async () => await first.SendDescriptorsAsync("x"u8.ToArray(), [second.SafeHandle]));
            await first.SendDescriptorsAsync("y"u8.ToArray(), []);

            Assert.Equal(EPERM, refused.ErrorNumber);
            byte[] buffer = new byte[4];
            using DescriptorMessage message = await second.ReceiveDescriptorsAsync(buffer);
            Assert.Equal((byte)'y', buffer[0]);
        }
    }

    [FactWhenKernel(6, 5)]
    public async Task ThePidfdThatAMessageBrings_IsNotLeftOpen()
    {
        (Socket first, Socket second) = DescriptorSocket.CreatePair();
        using (first)
        using (second)
        {
            Assert.Equal(Errno.None, Kernel.SetOption(second.SafeHandle, SO_PASSPIDFD, 1));
            await first.SendDescriptorsAsync("x"u8.ToArray(), [first.SafeHandle]);
            Errno refused = MessageCalls.TryReceive(second.SafeHandle, new byte[4], out ReceivedPart part);
            Assert.Equal(Errno.None, refused);
            int pidfd = Assert.IsType<FileDescriptor>(part.Beside.Pidfd).Number;
            part.Close();
            Assert.False(IsProcess(pidfd));

            await first.SendDescriptorsAsync("x"u8.ToArray(), [first.SafeHandle]);
            using DescriptorMessage message = await second.ReceiveDescriptorsAsync(new byte[4]);
            Assert.Equal(1, message.Count);
        }
    }

    /// <summary>unix(7): who goes with messages unread makes the other end's next read ECONNRESET, before what was sent to it.</summary>
    [Theory]
    [InlineData(SocketType.Stream)]
    [InlineData(SocketType.Seqpacket)]
    public async Task ThePeersLastMessageComes_ThoughItLeftOthersUnread(SocketType type)
    {
        (Socket first, Socket second) = DescriptorSocket.CreatePair(type);
        using (second)
        {
            await second.SendDescriptorsAsync("unread"u8.ToArray(), []);
            await first.SendDescriptorsAsync("last"u8.ToArray(), [first.SafeHandle]);
            first.Dispose();

            using DescriptorMessage last = await second.ReceiveDescriptorsAsync(new byte[8]);
            Assert.Equal((4, 1), (last.Length, last.Count));
            last.Dispose();
            using DescriptorMessage end = await second.ReceiveDescriptorsAsync(new byte[8]);
            Assert.True(end.IsEndOfStream);
        }
    }

    [Fact]
    public async Task BytesOfAStreamAreNeverMergedPastADescriptor()
    {
        (Socket first, Socket second) = DescriptorSocket.CreatePair(SocketType.Stream);
        using (first)
        using (second)
        {
            foreach ((string text, SafeHandle[] descriptors) in ((string, SafeHandle[])[])
                [("A", []), ("B", [first.SafeHandle]), ("C", []), ("D", [first.SafeHandle])])
            {
                await first.SendDescriptorsAsync(System.Text.Encoding.ASCII.GetBytes(text), descriptors);
            }
            byte[] buffer = new byte[8];
            List<(string, int)> got = [];
            while (got.Sum(g => g.Item1.Length) < 4)
            {
                using DescriptorMessage message = await second.ReceiveDescriptorsAsync(buffer);
                got.Add((System.Text.Encoding.ASCII.GetString(buffer, 0, message.Length), message.Count));
            }

            Assert.Equal([("AB", 1), ("CD", 1)], got);
        }
    }

    private static bool IsProcess(int number) =>
        DescriptorQuery.Read(number, out DescriptorKind kind) == Errno.None && kind == DescriptorKind.Process;

    private static HashSet<ulong> UnixSockets() =>
        [.. File.ReadLines("/proc/net/unix").Skip(1)
            .Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries)).Select(f => ulong.Parse(f[6]))];
}
