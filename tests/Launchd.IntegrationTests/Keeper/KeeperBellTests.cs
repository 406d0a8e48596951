using Launchd.Addresses;
using Launchd.Client;
using Launchd.Host.Keeping;
using Launchd.Host.Loop;
using Launchd.Interop;
using Launchd.Keeper;
using Launchd.Linux.Sockets;
using Xunit;

namespace Launchd.IntegrationTests.Keeper;

/// <summary>Which messages wake the keeper, and that those that do not are read all the same.</summary>
public sealed class KeeperBellTests
{
    private readonly FileDescriptor _near, _far;

    public KeeperBellTests()
    {
        (_near, _far) = UnixSocket.Pair(UnixSocketKind.SeqPacket);
    }

    [Fact]
    public void WhatIsDroppedIsSaidAtTheEndOfTheTurn_OrWithTheNextMessage()
    {
        using KeeperTable table = new(100);
        LoopOrders orders = new();
        using KeeperLink link = new(_near, 1) { Orders = orders };
        using FileDescriptor write = new(Libc.eventfd(0, Libc.EFD_CLOEXEC));
        (FileDescriptor one, FileDescriptor other) = UnixSocket.Pair(UnixSocketKind.SeqPacket);
        _ = link.Store("first", write);
        _ = link.Store("drained", one);
        one.Dispose();
        link.Drop("first");
        using KeeperDialogue keeper = new(table, new HangWatch());
        keeper.Begin(_far, 1, default);
        keeper.Read();
        Assert.Equal(2, table.Count);

        link.Drop("drained", isDrained: true);
        _ = link.Store("second", write);
        keeper.Read();

        Assert.Equal("second", KernelText.Decode(table.NameAt(0)));
        Assert.Equal(1, table.Count);
        // It was closed by the keeper itself, at once.
        Assert.Equal(ReceiveOutcome.EndOfStream, UnixSocket.Receive(other, new byte[1]).Outcome);
        link.Drop("second");
        orders.EndTurn();
        keeper.Read();
        Assert.Equal(0, table.Count);
        orders.EndTurn();
        other.Dispose();
    }

    [Fact]
    public void WhatMayWaitIsReadWithWhatMayNot_WhenThereIsMuchOfIt_AndAtTheEnd()
    {
        using KeeperTable table = new(1000);
        using KeeperDialogue keeper = new(table, new HangWatch());
        using KeeperLink link = new(_near, 1);
        keeper.Begin(_far, 1, default);
        using FileDescriptor write = new(Libc.eventfd(0, Libc.EFD_CLOEXEC));
        Assert.True(keeper.IsReading);
        link.BeginToRing();
        Assert.False(HasRung());
        keeper.Read();
        Assert.False(HasRung());

        _ = link.Store("one", write, mayWait: true);
        link.Drop("nothing", isDrained: true);
        Assert.False(HasRung());
        link.Drop("nothing");
        Assert.True(HasRung());
        keeper.Read();
        Assert.Equal((1, false), (table.Count, keeper.IsReading));

        for (int i = 0; i < 63; i++)
            _ = link.Store($"two.{i}", write, mayWait: true);
        Assert.False(HasRung());
        _ = link.Store("two.63", write, mayWait: true);
        Assert.True(HasRung());
        keeper.Read();
        Assert.Equal(65, table.Count);

        _ = link.Store("three", write, mayWait: true);
        Assert.False(HasRung());
        keeper.End();
        Assert.Equal((66, -1), (table.Count, keeper.BellNumber));

        bool HasRung()
        {
            Libc.poll_entry entry = new() { fd = keeper.BellNumber, events = Libc.POLLIN };
            if (entry.fd < 0 || Libc.poll(ref entry, 1, 0) == 0)
                return false;
            keeper.Hear();
            return true;
        }
    }
}
