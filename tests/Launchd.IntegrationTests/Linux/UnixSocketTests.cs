using Launchd.Addresses;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.IntegrationTests.Support;
using Launchd.Interop;
using Launchd.Linux.Listening;
using Launchd.Linux.Paths;
using Launchd.Linux.Sockets;
using Xunit;
using static Tmds.Linux.LibC;

namespace Launchd.IntegrationTests.Linux;

/// <summary>
/// Beside no test that starts processes: a child has copies of everything until it executes its program, and the peer of a socket of which
/// there is a copy does not see its end.
/// </summary>
[Collection(nameof(Host.Supervisors))]
public sealed unsafe class UnixSocketTests
{
    private readonly byte[] _buffer = new byte[4096];

    [Theory]
    [InlineData(1)]
    [InlineData(3)]
    [InlineData(253)]
    public void DescriptorsArriveOpenAndCloseOnExec_UpToTheKernelsLimit(int count)
    {
        (FileDescriptor first, FileDescriptor second) = UnixSocket.Pair(UnixSocketKind.SeqPacket);
        using (first)
        using (second)
        {
            FileDescriptor memory = FileOpener.OpenMemory("sent", 64, MemorySeals.None).Value;
            var many = new FileDescriptor[count];
            Array.Fill(many, memory);

            Assert.Equal(SendOutcome.Sent, UnixSocket.Send(first, "x"u8, many).Outcome);
            memory.Dispose();
            using Received received = UnixSocket.Receive(second, _buffer);

            Assert.Equal(ReceiveOutcome.Message, received.Outcome);
            Assert.False(received.IsTruncated);
            Assert.Equal(count, received.Descriptors.Count);
            Assert.Equal(Environment.ProcessId, received.Pid);
            for (int i = 0; i < count; i++)
            {
                Assert.Equal(Errno.None, FileStatus.Read(received.Descriptors[i]!, out FileStatus status));
                Assert.Equal(64, status.SizeBytes);
                Assert.Equal(FD_CLOEXEC, fcntl(received.Descriptors[i]!.Number, F_GETFD));
            }
        }
    }

    [Fact]
    public void MoreThanTheLimitIsRefusedBeforeTheKernelSeesIt()
    {
        (FileDescriptor first, FileDescriptor second) = UnixSocket.Pair(UnixSocketKind.SeqPacket);
        using (first)
        using (second)
        {
            var many = new FileDescriptor[ControlMessage.MaxDescriptorCount + 1];
            Array.Fill(many, first);
            Assert.Throws<ArgumentOutOfRangeException>(() => UnixSocket.Send(first, "x"u8, many));
        }
    }

    [Fact]
    public void ATruncatedMessageClosesItsDescriptors_AndTheNextOneIsWhole()
    {
        (FileDescriptor first, FileDescriptor second) = UnixSocket.Pair(UnixSocketKind.SeqPacket);
        using (first)
        using (second)
        {
            (FileDescriptor reading, FileDescriptor writing) = UnixSocket.Pair(UnixSocketKind.SeqPacket);
            using (reading)
            {
                UnixSocket.Send(first, "longer than the buffer"u8, writing);
                UnixSocket.Send(first, "next"u8);
                writing.Dispose();

                using Received cut = UnixSocket.Receive(second, _buffer.AsSpan(0, 4));
                Assert.True(cut.IsTruncated);
                Assert.Equal(4, cut.Length);
                Assert.Equal(0, cut.Descriptors.Count);

                // The only other copy of the writing end is closed, so its peer has come to the end.
                Assert.Equal(ReceiveOutcome.EndOfStream, UnixSocket.Receive(reading, _buffer).Outcome);
                using Received next = UnixSocket.Receive(second, _buffer);
                Assert.False(next.IsTruncated);
                Assert.Equal("next"u8.ToArray(), _buffer[..next.Length]);
            }
        }
    }

    // F10: SO_PASSCRED tells an empty message from the end.
    [Theory]
    [InlineData((int)UnixSocketKind.SeqPacket)]
    [InlineData((int)UnixSocketKind.Datagram)]
    public void AnEmptyMessageIsNotTheEnd(int kind)
    {
        (FileDescriptor first, FileDescriptor second) = UnixSocket.Pair((UnixSocketKind)kind);
        using (first)
        using (second)
        {
            Assert.Equal(ReceiveOutcome.WouldBlock, UnixSocket.Receive(second, _buffer).Outcome);
            Assert.Equal(SendOutcome.Sent, UnixSocket.Send(first, []).Outcome);
            using Received empty = UnixSocket.Receive(second, _buffer);
            Assert.Equal(ReceiveOutcome.Message, empty.Outcome);
            Assert.Equal(0, empty.Length);
            Assert.True(empty.HasCredentials);
        }
    }

    [Theory]
    [InlineData((int)UnixSocketKind.SeqPacket)]
    [InlineData((int)UnixSocketKind.Stream)]
    public void TheEndIsTheEnd_WithCredentialsPassed(int kind)
    {
        (FileDescriptor first, FileDescriptor second) = UnixSocket.Pair((UnixSocketKind)kind);
        using (second)
        {
            first.Dispose();
            using Received end = UnixSocket.Receive(second, _buffer);
            Assert.Equal(ReceiveOutcome.EndOfStream, end.Outcome);
        }
    }

    // F9: the peer leaves with unread data in its queue.
    [Fact]
    public void AResetComesBeforeTheLastMessages()
    {
        (FileDescriptor first, FileDescriptor second) = UnixSocket.Pair(UnixSocketKind.SeqPacket);
        using (second)
        {
            UnixSocket.Send(second, "never read"u8);
            UnixSocket.Send(first, "last words"u8);
            first.Dispose();

            Assert.Equal(ReceiveOutcome.Reset, UnixSocket.Receive(second, _buffer).Outcome);
            using Received last = UnixSocket.Receive(second, _buffer);
            Assert.Equal("last words"u8.ToArray(), _buffer[..last.Length]);
            Assert.Equal(ReceiveOutcome.EndOfStream, UnixSocket.Receive(second, _buffer).Outcome);
            Assert.Equal(SendOutcome.PeerGone, UnixSocket.Send(second, "x"u8).Outcome);
        }
    }

    // F7: a peer that does not read.
    [Fact]
    public void AFullQueueWouldBlock_AndAHugeMessageFails()
    {
        (FileDescriptor first, FileDescriptor second) = UnixSocket.Pair(UnixSocketKind.SeqPacket);
        using (first)
        using (second)
        {
            SendResult result;
            int sent = 0;
            do
            {
                result = UnixSocket.Send(first, _buffer);
                sent++;
            }
            while (result.Outcome == SendOutcome.Sent && sent < 100_000);
            Assert.Equal(SendOutcome.WouldBlock, result.Outcome);
            Assert.Equal(Errno.EAGAIN, result.Errno);

            result = UnixSocket.Send(first, new byte[64 * 1024 * 1024]);
            Assert.Equal(SendOutcome.Failed, result.Outcome);
            Assert.Equal(Errno.EMSGSIZE, result.Errno);
        }
    }

    [Fact]
    public void OnAStreamDescriptorsStayWithTheirBytes()
    {
        (FileDescriptor first, FileDescriptor second) = UnixSocket.Pair(UnixSocketKind.Stream);
        using (first)
        using (second)
        {
            UnixSocket.Send(first, "A"u8);
            UnixSocket.Send(first, "B"u8, first);
            UnixSocket.Send(first, "C"u8);
            UnixSocket.Send(first, "D"u8, first);
            using Received ab = UnixSocket.Receive(second, _buffer);
            Assert.Equal((2, 1), (ab.Length, ab.Descriptors.Count));
            using Received cd = UnixSocket.Receive(second, _buffer);
            Assert.Equal((2, 1), (cd.Length, cd.Descriptors.Count));
        }
    }

    [Fact]
    public void ReceivingWithoutDescriptorsAllocatesNothing()
    {
        (FileDescriptor first, FileDescriptor second) = UnixSocket.Pair(UnixSocketKind.SeqPacket);
        using (first)
        using (second)
        {
            for (int round = 0; round < 2; round++)
            {
                long before = GC.GetAllocatedBytesForCurrentThread();
                for (int i = 0; i < 100; i++)
                {
                    UnixSocket.Send(first, "x"u8);
                    using Received received = UnixSocket.Receive(second, _buffer);
                }
                long allocated = GC.GetAllocatedBytesForCurrentThread() - before;
                if (round == 1)
                    Assert.Equal(0, allocated);
            }
        }
    }

    [Fact]
    public void ATakenDescriptorSurvivesItsMessage_TheOthersAreClosed()
    {
        (FileDescriptor first, FileDescriptor second) = UnixSocket.Pair(UnixSocketKind.SeqPacket);
        using (first)
        using (second)
        {
            UnixSocket.Send(first, "x"u8, first, first);
            FileDescriptor taken;
            int other;
            using (Received received = UnixSocket.Receive(second, _buffer))
            {
                taken = received.Descriptors.Take(0);
                other = received.Descriptors[1]!.Number;
                Assert.Throws<InvalidOperationException>(() => received.Descriptors.Take(0));
            }
            using (taken)
            {
                Assert.Equal(SendOutcome.Sent, UnixSocket.Send(taken, "y"u8).Outcome);
                Assert.NotEqual(taken.Number, other);
            }
        }
    }

    [FactWhenKernel(6, 5)]
    public void ThePidfdOfTheSenderComesWhereItIsAskedFor()
    {
        (FileDescriptor first, FileDescriptor second) = UnixSocket.Pair(UnixSocketKind.SeqPacket);
        using (first)
        using (second)
        {
            int on = 1;
            Assert.Equal(0, setsockopt(second.Number, SOL_SOCKET, Libc.SO_PASSPIDFD, &on, sizeof(int)));
            UnixSocket.Send(first, "x"u8, first);
            using Received received = UnixSocket.Receive(second, _buffer);
            Assert.Equal(1, received.Descriptors.Count);
            Assert.Contains($"Pid:\t{Environment.ProcessId}\n", Files.ReadText($"/proc/self/fdinfo/{received.Pidfd!.Number}"));
            using FileDescriptor? peer = PeerCredentials.OpenPidfd(second, out Errno refused);
            Assert.Equal(Errno.None, refused);
            Assert.NotNull(peer);
        }
    }

    [Fact]
    public void ANotifySocketTakesDatagramsOfAnyUser_WithTheirSender()
    {
        using var directory = new TemporaryDirectory();
        OpenedListener notify = UnixListener.BindDatagram(directory["notify"]).Value;
        Assert.Equal(Errno.None, FileStatus.ReadFollow(directory["notify"], out FileStatus status));
        Assert.Equal(0b110_110_110, status.Mode);
        using FileDescriptor sender = Connector.Connect(
            new ListenAddress.Unix(UnixSocketKind.Datagram, directory["notify"], IsAbstract: false), TimeSpan.FromSeconds(10)).Value;

        Assert.Equal(SendOutcome.Sent, UnixSocket.Send(sender, "READY=1"u8, sender).Outcome);
        using Received received = UnixSocket.Receive(notify.Descriptor, _buffer);

        Assert.Equal("READY=1"u8.ToArray(), _buffer[..received.Length]);
        Assert.Equal((Environment.ProcessId, 1), (received.Pid, received.Descriptors.Count));
        ListenerOpener.Undo(notify);
        Assert.False(File.Exists(directory["notify"]));
    }

    [Fact]
    public void AControlSocketKnowsItsClients_AndItsConnectionsCarryCredentials()
    {
        using var directory = new TemporaryDirectory();
        OpenedListener control = UnixListener.Listen(directory["control.sock"], 0b110_000_000, PathOwner.Own).Value;
        using FileDescriptor client = Connector.Connect(
            new ListenAddress.Unix(UnixSocketKind.Stream, directory["control.sock"], IsAbstract: false), TimeSpan.FromSeconds(10)).Value;
        using FileDescriptor? accepted = UnixSocket.Accept(control.Descriptor, out _);

        Assert.True(PeerCredentials.TryRead(accepted!, out PeerCredentials peer, out _));
        Assert.Equal(Environment.ProcessId, peer.Pid);
        UnixSocket.Send(client, "x"u8);
        using Received received = UnixSocket.Receive(accepted!, _buffer);
        Assert.Equal(Environment.ProcessId, received.Pid);
        ListenerOpener.Undo(control);
    }
}
