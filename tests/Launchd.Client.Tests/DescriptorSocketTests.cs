using System.Net.Sockets;
using System.Runtime.InteropServices;
using Launchd.Client.Interop;
using Launchd.Client.Tests.Support;
using Xunit;

namespace Launchd.Client.Tests;

/// <summary>Not beside tests that start processes: a child has copies of both ends until it executes its program.</summary>
[Collection(nameof(Alone))]
public sealed class DescriptorSocketTests : IDisposable
{
    private const int EPIPE = 32, EMSGSIZE = 90;

    private readonly byte[] _buffer = new byte[64];
    private readonly FileDescriptor _memory = FileDescriptor.CreateMemory("sent", 64);
    private readonly Socket _first;
    private readonly Socket _second;

    public DescriptorSocketTests()
    {
        (_first, _second) = DescriptorSocket.CreatePair();
    }

    public void Dispose()
    {
        _memory.Dispose();
        _first.Dispose();
        _second.Dispose();
    }

    [Theory]
    [InlineData(SocketType.Stream, 1)]
    [InlineData(SocketType.Stream, 2)]
    [InlineData(SocketType.Dgram, 3)]
    [InlineData(SocketType.Seqpacket, 252)]
    [InlineData(SocketType.Seqpacket, 253)]
    public async Task DescriptorsArriveAsTheSameFile_CloseOnExec(SocketType type, int count)
    {
        (Socket first, Socket second) = DescriptorSocket.CreatePair(type);
        using (first)
        using (second)
        {
            await first.SendDescriptorsAsync("x"u8.ToArray(), Many(count));
            using DescriptorMessage message = await second.ReceiveDescriptorsAsync(_buffer);

            Assert.Equal((1, count, false), (message.Length, message.Count, message.IsEndOfStream));
            for (int i = 0; i < count; i++)
            {
                using FileDescriptor got = message.Take(i);
                Assert.True(Kernel.IsSameFile(_memory.Number, got.Number));
                Assert.True(Kernel.IsCloseOnExec(got.Number));
            }
        }
    }

    [Fact]
    public async Task OneMoreThanTheKernelTakes_IsRefusedBeforeItSeesThem() =>
        Assert.Contains("253", (await Assert.ThrowsAsync<ArgumentOutOfRangeException>(
            async () => await _first.SendDescriptorsAsync("x"u8.ToArray(), Many(254)))).Message, StringComparison.Ordinal);

    [Fact]
    public async Task AStreamNeedsAByte_APacketDoesNot()
    {
        (Socket first, Socket second) = DescriptorSocket.CreatePair(SocketType.Stream);
        using (first)
        using (second)
            _ = await Assert.ThrowsAsync<ArgumentException>(async () => await first.SendDescriptorsAsync(default, Many(1)));

        await _first.SendDescriptorsAsync(default, Many(1));
        using DescriptorMessage message = await _second.ReceiveDescriptorsAsync(_buffer);
        Assert.Equal((0, 1, false), (message.Length, message.Count, message.IsEndOfStream));
    }

    [Fact]
    public async Task WithCredentials_AnEmptyPacketIsNotTheEnd()
    {
        Assert.Equal(Errno.None, Kernel.SetOption(_second.SafeHandle, ClientLibc.SO_PASSCRED, 1));
        await _first.SendDescriptorsAsync(default, []);
        _first.Dispose();

        using DescriptorMessage empty = await _second.ReceiveDescriptorsAsync(_buffer);
        using DescriptorMessage end = await _second.ReceiveDescriptorsAsync(_buffer);

        Assert.Equal((0, false, Environment.ProcessId), (empty.Length, empty.IsEndOfStream, empty.SenderPid));
        Assert.True(end.IsEndOfStream);
    }

    [Fact]
    public async Task AMessageLongerThanTheBuffer_IsTold_ItsDescriptorsAreClosed_AndTheNextIsWhole()
    {
        (Socket watched, Socket peer) = DescriptorSocket.CreatePair();
        using (peer)
        {
            await _first.SendDescriptorsAsync(new byte[65], [watched.SafeHandle]);
            watched.Dispose();
            await _first.SendDescriptorsAsync("next"u8.ToArray(), Many(1));

            LaunchdException cut = await Assert.ThrowsAsync<LaunchdException>(async () => await _second.ReceiveDescriptorsAsync(_buffer));

            Assert.Equal(LaunchdError.Truncated, cut.Error);
            // No copy of the watched socket is left: its peer sees the end.
            using DescriptorMessage end = await peer.ReceiveDescriptorsAsync(_buffer);
            Assert.True(end.IsEndOfStream);
            using DescriptorMessage next = await _second.ReceiveDescriptorsAsync(_buffer);
            Assert.Equal((4, 1), (next.Length, next.Count));
        }
    }

    [Fact]
    public async Task MoreThanTheProtocolAllows_IsRefusedAndClosed()
    {
        (Socket watched, Socket peer) = DescriptorSocket.CreatePair();
        using (peer)
        {
            await _first.SendDescriptorsAsync("x"u8.ToArray(), [watched.SafeHandle, watched.SafeHandle]);
            watched.Dispose();

            LaunchdException refused = await Assert.ThrowsAsync<LaunchdException>(
                async () => await _second.ReceiveDescriptorsAsync(_buffer, mostDescriptors: 1));

            Assert.Equal(LaunchdError.LimitReached, refused.Error);
            using DescriptorMessage end = await peer.ReceiveDescriptorsAsync(_buffer);
            Assert.True(end.IsEndOfStream);
        }
    }

    [Fact]
    public async Task AProcessWithoutFreeNumbers_IsTold_AndKeepsNothing()
    {
        await using OtherProcess other = await OtherProcess.Start("receive-without-numbers");
        await other.Send(_memory);
        await other.Send(_memory, _memory, _memory);
        await other.Send(_memory);

        Assert.Equal("Truncated, then 1, left 0", await other.Answer());
    }

    [Fact]
    public async Task AWaitThatIsCancelled_LosesNothing_AndLeavesNothingBehind()
    {
        for (int i = 0; i < 100; i++)
        {
            using var cancelling = new CancellationTokenSource();
            ValueTask<DescriptorMessage> waiting = _second.ReceiveDescriptorsAsync(_buffer, cancellation: cancelling.Token);
            Assert.False(waiting.IsCompleted);
            await cancelling.CancelAsync();
            _ = await Assert.ThrowsAnyAsync<OperationCanceledException>(async () => await waiting);
        }
        await _first.SendDescriptorsAsync("x"u8.ToArray(), Many(1));

        using DescriptorMessage message = await _second.ReceiveDescriptorsAsync(_buffer);
        Assert.Equal(1, message.Count);
    }

    [Fact]
    public async Task CancellingWhileTheMessageArrives_NeitherLosesNorLeaksIt()
    {
        for (int i = 0; i < 300; i++)
        {
            (Socket watched, Socket peer) = DescriptorSocket.CreatePair();
            using var cancelling = new CancellationTokenSource();
            Task<DescriptorMessage> waiting = _second.ReceiveDescriptorsAsync(_buffer, cancellation: cancelling.Token).AsTask();
            Task sending = Task.Run(async () => await _first.SendDescriptorsAsync("x"u8.ToArray(), [watched.SafeHandle]));
            Task cancel = Task.Run(cancelling.Cancel);
            await Task.WhenAll(sending, cancel);
            watched.Dispose();
            DescriptorMessage message;
            try
            {
                message = await waiting;
            }
            catch (OperationCanceledException)
            {
                message = await _second.ReceiveDescriptorsAsync(_buffer);
            }
            Assert.Equal(1, message.Count);
            message.Dispose();
            using DescriptorMessage end = await peer.ReceiveDescriptorsAsync(_buffer);
            Assert.True(end.IsEndOfStream);
            peer.Dispose();
        }
    }

    [Fact]
    public async Task WhatIsLongerThanTheStreamsQueue_ArrivesWhole_WithItsDescriptorOnce()
    {
        (Socket first, Socket second) = DescriptorSocket.CreatePair(SocketType.Stream);
        using (first)
        using (second)
        {
            byte[] sent = new byte[3_000_000];
            Random.Shared.NextBytes(sent);
            Task sending = first.SendDescriptorsAsync(sent, Many(1)).AsTask();
            byte[] got = new byte[sent.Length];
            int descriptors = 0;
            for (int at = 0; at < got.Length;)
            {
                using DescriptorMessage part = await second.ReceiveDescriptorsAsync(got.AsMemory(at));
                Assert.False(part.IsEndOfStream);
                at += part.Length;
                descriptors += part.Count;
            }
            await sending;

            Assert.Equal(1, descriptors);
            Assert.True(sent.AsSpan().SequenceEqual(got));
        }
    }

    [Fact]
    public async Task AFullQueueIsWaitedFor_AndTheFlagsOfASharedSocketStayAsTheyWere()
    {
        int flags = ClientLibc.fcntl((int)_first.SafeHandle.DangerousGetHandle(), ClientLibc.F_GETFL, 0);
        Task filling = Task.Run(async () =>
        {
            for (int i = 0; i < 2_000; i++)
                await _first.SendDescriptorsAsync(BitConverter.GetBytes(i), []);
        });
        for (int i = 0; i < 2_000; i++)
        {
            using DescriptorMessage message = await _second.ReceiveDescriptorsAsync(_buffer);
            Assert.Equal(i, BitConverter.ToInt32(_buffer));
        }
        await filling;

        Assert.Equal(flags, ClientLibc.fcntl((int)_first.SafeHandle.DangerousGetHandle(), ClientLibc.F_GETFL, 0));
    }

    [Fact]
    public async Task TheKernelsRefusalIsToldByItsNumber()
    {
        LaunchdException tooLong = await Assert.ThrowsAsync<LaunchdException>(
            async () => await _first.SendDescriptorsAsync(new byte[1_000_000], []));
        _second.Dispose();
        LaunchdException gone =
            await Assert.ThrowsAsync<LaunchdException>(async () => await _first.SendDescriptorsAsync("x"u8.ToArray(), []));

        Assert.Equal((LaunchdError.Kernel, EMSGSIZE), (tooLong.Error, tooLong.ErrorNumber));
        Assert.Equal((LaunchdError.Kernel, EPIPE), (gone.Error, gone.ErrorNumber));
    }

    private SafeHandle[] Many(int count) => [.. Enumerable.Repeat<SafeHandle>(_memory, count)];
}
