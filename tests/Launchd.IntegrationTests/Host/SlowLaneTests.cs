using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.Host;
using Launchd.Linux;
using Tmds.Linux;
using Xunit;
using static Tmds.Linux.LibC;

namespace Launchd.IntegrationTests.Host;

/// <summary>What may keep its caller waiting, done for one service: bounded, in the background, and not at all once the supervisor ends.</summary>
public sealed class SlowLaneTests
{
    [Fact]
    public async Task WhatIsKnownToCloseAtOnceIsClosedAtOnce_AndTheRestSoon()
    {
        SlowLane lane = new(() => { });
        FileDescriptor memory = Some.Memory();
        (FileDescriptor near, FileDescriptor far) = UnixSocket.Pair(UnixSocketKind.Stream);
        using System.Net.Sockets.Socket waiting = new(new System.Net.Sockets.SafeSocketHandle(near.ReleaseNumber(), ownsHandle: true));
        int number = memory.ReleaseNumber();

        lane.Close(number);
        Assert.False(IsOpen(number));
        Assert.True(Closing.IsQuick(Some.Memory().Number));
        Assert.False(Closing.IsQuick(far.Number));

        lane.Close(far.ReleaseNumber());
        // The far end of what was closed reads as the end.
        Assert.Equal(0, await waiting.ReceiveAsync(new byte[1]).WaitAsync(Deadline.Generous));
    }

    [Fact]
    public async Task FourWorkAtATime_AndWhoIsFullSaysWhenItIsNoMore()
    {
        TaskCompletionSource eased = new(TaskCreationOptions.RunContinuationsAsynchronously);
        SlowLane lane = new(eased.SetResult);
        using ManualResetEventSlim gate = new();
        using CountdownEvent begun = new(4);
        int done = 0;
        void Work()
        {
            if (!gate.IsSet)
                begun.Signal();
            gate.Wait();
            _ = Interlocked.Increment(ref done);
        }

        for (int i = 0; i < 4; i++)
            Assert.True(lane.TryRun(Work));
        Assert.True(begun.Wait(Deadline.Generous));
        for (int i = 0; i < SlowLane.MostWaiting; i++)
            Assert.True(lane.TryRun(Work));

        Assert.False(lane.TryRun(Work));
        Assert.Equal(SlowLane.MostWaiting + 4, lane.Count);
        Assert.False(eased.Task.IsCompleted);
        gate.Set();
        await eased.Task.WaitAsync(Deadline.Generous);
        Assert.True(SpinWait.SpinUntil(() => lane.Count == 0, Deadline.Generous));
        Assert.Equal(SlowLane.MostWaiting + 4, done);
        Assert.False(lane.IsFull);
    }

    [Fact]
    public void AtTheEndWhatIsSlowIsLeftToTheKernel()
    {
        SlowLane lane = new(() => { });
        (FileDescriptor near, FileDescriptor far) = UnixSocket.Pair(UnixSocketKind.Stream);
        using FileDescriptor left = new(far.ReleaseNumber());
        lane.End();

        new FileDescriptor(left.Number, lane).Dispose();
        int quick = Some.Memory().ReleaseNumber();
        new FileDescriptor(quick, lane).Dispose();

        Assert.True(IsOpen(left.Number));
        Assert.False(IsOpen(quick));
        near.Dispose();
    }

    [Fact]
    public void AQueueThatIsEmptyIsClosedHere_AndOneThatIsNotGoesToTheLane()
    {
        SlowLane lane = new(() => { });
        (FileDescriptor near, FileDescriptor far) = UnixSocket.Pair(UnixSocketKind.SeqPacket);
        (FileDescriptor nearest, FileDescriptor farthest) = UnixSocket.Pair(UnixSocketKind.SeqPacket);
        lane.End();
        Assert.Equal(SendOutcome.Sent, UnixSocket.Send(farthest, "x"u8, farthest).Outcome);
        Assert.Equal(SendOutcome.Sent, UnixSocket.Send(farthest, "y"u8, farthest).Outcome);
        int empty = near.Number, unread = nearest.Number;

        lane.CloseQueue(near);
        lane.CloseQueue(nearest);

        Assert.False(IsOpen(empty));
        // The lane is over, so it leaves open what came to it.
        Assert.True(IsOpen(unread));
        _ = close(unread);
        far.Dispose();
        farthest.Dispose();
    }

    private static bool IsOpen(int number) => fcntl(number, F_GETFD) >= 0;
}
