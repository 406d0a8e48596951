using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.IntegrationTests.Logs;
using Launchd.Linux.Loop;
using Xunit;

namespace Launchd.IntegrationTests.Linux;

/// <summary>What throws on the loop, or beside it, is told of, and nobody else goes without his turn because of it.</summary>
[Collection(nameof(Host.Supervisors))]
public sealed class ContainmentTests
{
    private readonly List<Exception> _told = [];

    [Fact]
    public void AHandlerThatThrowsTakesNoTurnFromTheOthers()
    {
        using EventLoop loop = new() { OnDefect = _told.Add };
        (FileDescriptor first, FileDescriptor firstEnd) = Ready();
        (FileDescriptor second, FileDescriptor secondEnd) = Ready();
        int served = 0;
        _ = loop.Watch(first, IoReadiness.Readable, 0, _ => throw new InvalidOperationException("bad"));
        _ = loop.Watch(second, IoReadiness.Readable, 1, _ => served++);

        Assert.True(loop.Wait(0));

        Assert.Equal("bad", Assert.Single(_told).Message);
        Assert.Equal(1, served);
        Close(first, firstEnd, second, secondEnd);
    }

    [Fact]
    public void WhoAlwaysThrowsRests_AndIsCalledAgain()
    {
        using EventLoop loop = new() { OnDefect = _told.Add };
        (FileDescriptor pipe, FileDescriptor end) = Ready();
        bool isHealed = false;
        int served = 0;
        _ = loop.Watch(pipe, IoReadiness.Readable, 0, _ => served += isHealed ? 1 : throw new InvalidOperationException("bad"));

        while (loop.Wait(0))
        {
        }
        Assert.Equal(3, _told.Count);
        isHealed = true;
        // One wait is as long as the rest, though nothing is to come.
        while (served == 0)
            _ = loop.Wait(-1);

        Assert.Equal((3, 1), (_told.Count, served));
        Close(pipe, end);
    }

    [Fact]
    public void WhoIsNotWatchedAnyMoreDoesNotComeBackFromHisRest()
    {
        using EventLoop loop = new() { OnDefect = _told.Add };
        (FileDescriptor pipe, FileDescriptor end) = Ready();
        _ = loop.Watch(pipe, IoReadiness.Readable, 0, _ => throw new InvalidOperationException("bad"));
        while (loop.Wait(0))
        {
        }

        loop.Unwatch(pipe);
        int served = 0;
        Assert.Equal(Errno.None, loop.Watch(pipe, IoReadiness.Readable, 0, _ => served++));

        Assert.True(loop.Wait(-1));
        Assert.Equal(1, served);
        Close(pipe, end);
    }

    [Fact]
    public void WithoutAnybodyToTell_ItIsThrownOn()
    {
        using EventLoop loop = new();
        (FileDescriptor pipe, FileDescriptor end) = Ready();
        _ = loop.Watch(pipe, IoReadiness.Readable, 0, _ => throw new InvalidOperationException("bad"));

        _ = Assert.Throws<InvalidOperationException>(() => loop.Wait(0));
        Close(pipe, end);
    }

    [Fact]
    public void WhatIsPostedIsCarriedOutOnce_WhateverTheOthersThrow()
    {
        using Mailbox mailbox = new() { OnDefect = _told.Add };
        int before = 0, after = 0;
        mailbox.Post(() => before++);
        mailbox.Post(() => throw new InsufficientMemoryException());
        mailbox.Fail(new InvalidOperationException("beside"));
        mailbox.Post(() => after++);

        mailbox.Deliver();
        mailbox.Deliver();

        Assert.Equal((1, 1), (before, after));
        Assert.Equal([typeof(InsufficientMemoryException), typeof(InvalidOperationException)], _told.Select(t => t.GetType()));
    }

    [Fact]
    public void WhatIsPostedIsCarriedOutOnce_EvenIfItIsThrownOn()
    {
        using Mailbox mailbox = new();
        int carried = 0;
        mailbox.Post(() => carried++);
        mailbox.Post(() => throw new InvalidOperationException("bad"));

        _ = Assert.Throws<InvalidOperationException>(mailbox.Deliver);
        mailbox.Post(() => { });
        mailbox.Deliver();

        Assert.Equal(1, carried);
    }

    [Fact]
    public void APauseThatThrowsTakesNoTurnFromTheOthers()
    {
        using EventLoop loop = new();
        using Delays delays = new(loop) { OnDefect = _told.Add };
        bool isDone = false;
        delays.After(TimeSpan.Zero, new object(), () => throw new InvalidOperationException("bad"));
        delays.After(TimeSpan.FromMilliseconds(1), new object(), () => isDone = true);

        while (!isDone)
            _ = loop.Wait(-1);

        Assert.Equal("bad", Assert.Single(_told).Message);
    }

    [Fact]
    public void WorkBesideTheLoopThatThrowsHasAResult()
    {
        using EventLoop loop = new();
        using Mailbox mailbox = new();
        _ = loop.Watch(mailbox.Wakeup, IoReadiness.Readable, 0, _ => mailbox.Deliver());
        string? result = null;

        Assert.True(new Offload(mailbox).TryRun(() => throw new InsufficientMemoryException(), e => e.GetType().Name, r => result = r));
        while (result is null)
            _ = loop.Wait(-1);

        Assert.Equal(nameof(InsufficientMemoryException), result);
    }

    [Fact]
    public async Task ALaneGoesOnAfterWorkThatThrows()
    {
        TaskCompletionSource<Exception> told = new(TaskCreationOptions.RunContinuationsAsynchronously);
        TaskCompletionSource done = new(TaskCreationOptions.RunContinuationsAsynchronously);
        SlowLane lane = new(() => { }, told.SetResult);

        Assert.True(lane.TryRun(() => throw new InvalidOperationException("bad")));
        Assert.Equal("bad", (await told.Task.WaitAsync(Deadline.Generous)).Message);
        Assert.True(lane.TryRun(done.SetResult));
        await done.Task.WaitAsync(Deadline.Generous);
    }

    private static (FileDescriptor Read, FileDescriptor Written) Ready()
    {
        (FileDescriptor read, FileDescriptor written) = PumpHarness.Pipe();
        PumpHarness.Write(written, "x");
        return (read, written);
    }

    private static void Close(params FileDescriptor[] all)
    {
        foreach (FileDescriptor one in all)
            one.Dispose();
    }
}
