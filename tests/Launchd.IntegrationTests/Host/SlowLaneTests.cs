using Launchd.AcceptanceTests.Support;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.Host.Lanes;
using Launchd.IntegrationTests.Logs;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Paths;
using Launchd.Linux.Sockets;
using Launchd.Linux.Spawning;
using Xunit;
using static Tmds.Linux.LibC;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// What may keep its caller waiting, done for one service: bounded, in the background, and not at all once the supervisor ends.
/// </summary>
[Collection(nameof(Supervisors))]
public sealed class SlowLaneTests
{
    [Fact]
    public async Task WhatWasClosedIsClosedSoon_InAProcessAndWithoutOne()
    {
        using Closers closers = new(Files.Open(null, "/dev/null", O_RDWR | O_CLOEXEC, 0, out _)!);
        foreach (Closers? by in (Closers?[])[null, closers])
        {
            SlowLane lane = new(() => { }) { Closers = by };
            (FileDescriptor near, FileDescriptor far) = UnixSocket.Pair(UnixSocketKind.Stream);
            using System.Net.Sockets.Socket waiting = new(new System.Net.Sockets.SafeSocketHandle(near.ReleaseNumber(), ownsHandle: true));

            lane.Close(far.ReleaseNumber());
            // The far end of what was closed reads as the end.
            Assert.Equal(0, await waiting.ReceiveAsync(new byte[1]).WaitAsync(Deadline.Generous));
        }
    }

    [Fact]
    public void AThousandAreClosedInAFewProcesses()
    {
        using Closers closers = new(Files.Open(null, "/dev/null", O_RDWR | O_CLOEXEC, 0, out _)!);
        SlowLane lane = new(() => { }) { Closers = closers };
        (FileDescriptor read, FileDescriptor written) = PumpHarness.Pipe();
        for (int i = 0; i < 1000; i++)
            lane.Close(read.Duplicate().ReleaseNumber());
        lane.Close(read.ReleaseNumber());

        Assert.True(HasNoReader(written, Deadline.Generous));
        written.Dispose();
    }

    [Fact]
    public void WhatIsLeftAtTheEndIsClosedLast()
    {
        (FileDescriptor read, FileDescriptor written) = PumpHarness.Pipe();
        using (Closers closers = new(Files.Open(null, "/dev/null", O_RDWR | O_CLOEXEC, 0, out _)!))
        {
            SlowLane lane = new(() => { }) { Closers = closers };
            lane.End();
            new FileDescriptor(read.ReleaseNumber(), lane).Dispose();
            Assert.False(HasNoReader(written));
        }

        Assert.True(HasNoReader(written, Deadline.Generous));
        written.Dispose();
    }

    [Fact]
    public void WithoutAThreadWorkWaits_AndIsDoneLater()
    {
        Action? again = null;
        bool isPossible = false;
        SlowLane lane = new(() => { }) { OnStarved = a => again = a, StartThread = work =>
        {
            if (isPossible)
                new Thread(work.Invoke).Start();
            return isPossible;
        } };
        using ManualResetEventSlim done = new();

        Assert.True(lane.TryRun(done.Set));
        Assert.NotNull(again);
        Assert.False(done.IsSet);
        Assert.Equal(1, lane.Count);
        isPossible = true;
        again();

        Assert.True(done.Wait(Deadline.Generous));
    }

    [Fact]
    public async Task FourWorkAtATime_AndWhoIsFullSaysWhenItIsNoMore()
    {
        TaskCompletionSource eased = new(TaskCreationOptions.RunContinuationsAsynchronously);
        SlowLane lane = new(eased.SetResult);
        using ManualResetEventSlim gate = new();
        using CountdownEvent begun = new(4);
        using CountdownEvent done = new(SlowLane.MostWaiting + 4);
        void Work()
        {
            if (!gate.IsSet)
                begun.Signal();
            gate.Wait();
            _ = done.Signal();
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
        Assert.True(done.Wait(Deadline.Generous));
        Assert.False(lane.IsFull);
    }

    [Fact]
    public async Task WhoHeardThatItIsFullIsTold_EvenIfAnotherFindsRoomMeanwhile()
    {
        TaskCompletionSource eased = new(TaskCreationOptions.RunContinuationsAsynchronously);
        SlowLane lane = new(eased.SetResult);
        using SemaphoreSlim leave = new(0);
        using SemaphoreSlim entered = new(0);
        void Work()
        {
            entered.Release();
            leave.Wait();
        }

        // Four are under way, and as many wait as may.
        for (int i = 0; i < 4; i++)
            Assert.True(lane.TryRun(Work));
        for (int i = 0; i < 4; i++)
            Assert.True(await entered.WaitAsync(Deadline.Generous));
        for (int i = 0; i < SlowLane.MostWaiting; i++)
            Assert.True(lane.TryRun(Work));
        Assert.True(lane.IsFull);
        leave.Release();
        Assert.True(await entered.WaitAsync(Deadline.Generous));

        Assert.False(lane.IsFull);
        leave.Release(SlowLane.MostWaiting + 3);
        await eased.Task.WaitAsync(Deadline.Generous);
    }

    [Fact]
    public void AtTheEndWhatIsSlowIsLeftToTheKernel()
    {
        SlowLane lane = new(() => { });
        (FileDescriptor near, FileDescriptor far) = UnixSocket.Pair(UnixSocketKind.Stream);
        using FileDescriptor left = new(far.ReleaseNumber());
        lane.End();

        new FileDescriptor(left.Number, lane).Dispose();

        Assert.False(HasEnded(near));
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
        int unread = nearest.Number;

        lane.CloseQueue(near);
        lane.CloseQueue(nearest);

        Assert.True(HasEnded(far));
        // The lane is over, so it leaves open what came to it.
        Assert.False(HasEnded(farthest));
        _ = close(unread);
        far.Dispose();
        farthest.Dispose();
    }

    // Seen from the other end: the number may be somebody else's already.
    private static bool HasEnded(FileDescriptor far)
    {
        using Received next = UnixSocket.Receive(far, new byte[1]);
        return next.Outcome == ReceiveOutcome.EndOfStream;
    }

    private static bool HasNoReader(FileDescriptor written, TimeSpan patience = default) =>
        (Polling.Await(written.Number, 0, patience) & POLLERR) != 0;
}
