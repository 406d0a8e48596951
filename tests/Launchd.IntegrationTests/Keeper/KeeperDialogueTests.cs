using Launchd.Addresses;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Host.Keeping;
using Launchd.Interop;
using Launchd.Keeper;
using Launchd.Linux.Sockets;
using Xunit;

namespace Launchd.IntegrationTests.Keeper;

/// <summary>Both sides of the keeper's messages over a real pair of sockets, and a keeper's side that believes nothing.</summary>
public sealed class KeeperDialogueTests
{
    private readonly FileDescriptor _near, _far;

    public KeeperDialogueTests()
    {
        (_near, _far) = UnixSocket.Pair(UnixSocketKind.SeqPacket);
    }

    [Fact]
    public async Task WhatIsStoredComesBack_UntilItIsDroppedOrReplaced()
    {
        using KeeperTable table = new(100);
        using KeeperSide keeper = new(table, _far);
        using KeeperLink link = new(_near, 1);
        (FileDescriptor read, FileDescriptor write) = Pipe();
        (FileDescriptor otherRead, FileDescriptor otherWrite) = Pipe();

        Assert.Equal(Errno.None, link.Store("log:ä", write));
        Assert.Equal(Errno.None, link.Store("gone", write));
        link.Drop("gone");
        link.Drop("never there");
        Assert.Equal(Errno.None, link.Store("swap", write));
        Assert.Equal(Errno.None, link.Store("swap", otherWrite));
        write.Dispose();
        otherWrite.Dispose();
        using RestoreAnswer? answer = await KeeperSide.During(link.Restore);

        Assert.NotNull(answer);
        Assert.Equal(["log:ä", "swap"], answer.Names.Order());
        Assert.True(answer.IsFirst);
        Assert.Empty(answer.LostNames);
        using FileDescriptor log = answer.Take("log:ä")!, swap = answer.Take("swap")!;
        Assert.Null(answer.Take("swap"));
        Assert.True(log.Number >= 128 && swap.Number >= 128);
        Assert.NotEqual(0, Libc.fcntl(log.Number, ClientLibc.F_GETFD, 0) & ClientLibc.FD_CLOEXEC);
        Write(log);
        Write(swap);
        Assert.Equal((1, 1), (Available(read), Available(otherRead)));
        read.Dispose();
        otherRead.Dispose();
    }

    /// <summary>A program that is tried sees everything, and nothing that it says has an effect.</summary>
    [Fact]
    public async Task AProgramThatIsTriedChangesNothing()
    {
        using KeeperTable table = new(10);
        (FileDescriptor read, FileDescriptor write) = Pipe();
        using FileDescriptor shown = write.Duplicate();
        Assert.True(table.Put("held"u8, write.ReleaseNumber()));
        using KeeperDialogue dialogue = new(table, hang: null) { Memory = shown };
        dialogue.Begin(_far, 1, new KeeperHistory { LastPid = 5 });
        using KeeperLink link = new(_near, 1);

        link.Drop("held");
        _ = link.Store("other", shown);
        link.Running();
        link.Ending(0);
        link.HandOver();
        _ = link.Try(shown);
        Task<RestoreAnswer?> asked = KeeperSide.During(link.Restore);
        while (!asked.IsCompleted)
        {
            dialogue.Read();
            dialogue.Send();
        }
        using RestoreAnswer? answer = await asked;
        link.SayVerdict(isProved: false, "of another layout");
        dialogue.Read();

        Assert.Equal(["held", "keeper.memory"], answer!.Names.Order());
        Assert.Equal((1, 6L, 5), (table.Count, dialogue.StrangeCount, answer.History.LastPid));
        Assert.False(dialogue.IsRunning || dialogue.IsEnding || dialogue.IsHandingOver);
        Assert.Null(dialogue.TakeProgram());
        Assert.Equal(TrialOutcome.Refuses, dialogue.Verdict);
        Assert.Equal("of another layout"u8, dialogue.VerdictText);
        read.Dispose();
    }

    [Fact]
    public async Task ThousandsComeBack_ThoughTheQueueHoldsAFewHundred()
    {
        const int count = 3000;
        using KeeperTable table = new(count);
        using KeeperSide keeper = new(table, _far);
        using KeeperLink link = new(_near, 1);
        (FileDescriptor read, FileDescriptor write) = Pipe();
        using (read)
        using (write)
        {
            for (int i = 0; i < count; i++)
                Assert.Equal(Errno.None, link.Store($"pipe {i}", write));

            using RestoreAnswer? answer = await KeeperSide.During(link.Restore);

            Assert.Equal(count, answer!.Names.Count);
            Assert.Equal(Enumerable.Range(0, count).Select(i => $"pipe {i}").Order(), answer.Names.Order());
        }
    }

    [Fact]
    public async Task AFullTableIsTold()
    {
        using KeeperTable table = new(2);
        using KeeperSide keeper = new(table, _far);
        using KeeperLink link = new(_near, 1);
        (FileDescriptor read, FileDescriptor write) = Pipe();
        foreach (string name in (string[])["a", "b", "c", "d", "a"])
            Assert.Equal(Errno.None, link.Store(name, write));
        write.Dispose();

        using RestoreAnswer? answer = await KeeperSide.During(link.Restore);
        long told = 0;
        link.ReadHints(() => Assert.Fail("no child has ended"), count => told = count);

        Assert.Equal(["a", "b"], answer!.Names.Order());
        Assert.Equal((2, 2), (told, answer.History.RefusedCount));
        answer.Dispose();
        keeper.Dispose();
        table.Dispose();
        AssertClosed(read);
    }

    [Fact]
    public async Task AKeeperThatIsGone_IsNoticedOnce_AndNothingWaits()
    {
        using KeeperTable table = new(2);
        using KeeperLink link = new(_near, 1);
        List<Errno> gone = [];
        link.OnGone = gone.Add;
        _far.Dispose();
        (FileDescriptor read, FileDescriptor write) = Pipe();
        using (read)
        using (write)
            Assert.Equal(Errno.EPIPE, link.Store("a", write));

        Assert.Null(await Task.Run(link.Restore).WaitAsync(Deadline.Generous));
        Assert.False(link.TryPeek(out _));
        link.Running();
        link.Ending(0);
        link.ReadHints(() => { }, _ => { });
        Assert.True(link.IsGone);
        Assert.Equal([Errno.EPIPE], gone);
    }

    /// <summary>What was sent before the death counts, though it was not read before.</summary>
    [Fact]
    public void TheLastWordsOfADeadSupervisorAreRead()
    {
        using KeeperTable table = new(10);
        using KeeperDialogue dialogue = new(table, new HangWatch());
        dialogue.Begin(_far, 1, default);
        (FileDescriptor read, FileDescriptor write) = Pipe();
        using (KeeperLink link = new(_near, 1))
        {
            // A question that nobody waits for must not keep the rest from being read.
            Assert.Equal(Errno.None, Send(KeeperMessageKind.Restore));
            for (int i = 0; i < 9; i++)
                Assert.Equal(Errno.None, link.Store($"{i}", write));
            link.Running();
            link.Ending(9);
        }
        read.Dispose();
        write.Dispose();

        dialogue.End();

        Assert.Equal(9, table.Count);
        Assert.True(dialogue.IsRunning && dialogue.IsEnding);
        Assert.Equal(9, dialogue.EndingCode);
        Assert.Null(dialogue.Socket);
    }

    [Theory]
    [InlineData("", 0)]
    [InlineData("", 1)]
    [InlineData("FF010000", 1)]
    [InlineData("01010000", 1)] // Store without a name
    [InlineData("010101006E", 0)] // without a descriptor
    [InlineData("010101006E", 2)] // with two
    [InlineData("010102006E", 1)]
    [InlineData("02010100 6E", 1)] // Drop with one
    [InlineData("40010100 6E", 1)] // what only the keeper says
    [InlineData("04010000", 3)]
    public void WhatMakesNoSenseIsCounted_AndItsDescriptorsAreClosed(string hex, int count)
    {
        using KeeperTable table = new(10);
        using KeeperDialogue dialogue = new(table, new HangWatch());
        dialogue.Begin(_far, 1, default);
        (FileDescriptor read, FileDescriptor write) = Pipe();

        Assert.Equal(Errno.None, Send(Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal)), write, count));
        write.Dispose();
        dialogue.Read();

        Assert.Equal(1, dialogue.StrangeCount);
        Assert.Equal(0, table.Count);
        Assert.NotNull(dialogue.Socket);
        AssertClosed(read);
        _near.Dispose();
    }

    [Fact]
    public void APacketThatIsTooLongIsCounted()
    {
        using KeeperTable table = new(10);
        using KeeperDialogue dialogue = new(table, new HangWatch());
        dialogue.Begin(_far, 1, default);
        (FileDescriptor read, FileDescriptor write) = Pipe();

        Assert.Equal(Errno.None, Send([1, 1, 0xFC, 0x0F, .. new byte[4092]], write, 1));
        write.Dispose();
        dialogue.Read();

        Assert.Equal(1, dialogue.StrangeCount);
        AssertClosed(read);
        _near.Dispose();
    }

    [Fact]
    public void NoBytesThrow()
    {
        using KeeperTable table = new(4);
        using KeeperDialogue dialogue = new(table, new HangWatch());
        dialogue.Begin(_far, 1, default);
        byte[] answers = new byte[KeeperMessage.LongestBytes];
        Random random = new(1);
        (FileDescriptor read, FileDescriptor write) = Pipe();
        byte[] packet = new byte[40];
        for (int i = 0; i < 20_000; i++)
        {
            random.NextBytes(packet);
            packet[0] = (byte)random.Next(9);
            packet[1] = (byte)random.Next(3);
            int length = random.Next(packet.Length);
            (packet[2], packet[3]) = ((byte)Math.Max(0, length - 4 + (i % 7 == 0 ? 1 : 0)), 0);
            // Numbers of children that live elsewhere are none of ours to reap.
            if (packet[0] == (byte)KeeperMessageKind.Reap)
                packet[7] = 0x7F;

            Assert.Equal(Errno.None, Send(packet.AsSpan(0, length), write, random.Next(3)));
            dialogue.Read();
            while (UnixSocket.Receive(_near, answers) is { Outcome: ReceiveOutcome.Message } answer)
                answer.Dispose();
            dialogue.Send();
        }
        Assert.NotNull(dialogue.Socket);
        Assert.InRange(dialogue.StrangeCount, 1000, 19_900);
        Assert.Equal(4, table.Count);
        Assert.True(dialogue.RefusedCount > 0);
        write.Dispose();
        dialogue.End();
        table.Dispose();
        AssertClosed(read);
        _near.Dispose();
    }

    [Fact]
    public void NothingIsAllocated()
    {
        using KeeperTable table = new(64);
        using KeeperDialogue dialogue = new(table, new HangWatch());
        dialogue.Begin(_far, 1, new KeeperHistory { IsFirst = 1 });
        (FileDescriptor read, FileDescriptor write) = Pipe();
        Round(0);

        long before = GC.GetAllocatedBytesForCurrentThread();
        int count = 0;
        while (count < 10_000)
            count += Round(count);
        long allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        Assert.Equal(0, allocated);
        Assert.True(table.Count > 30 && dialogue.RefusedCount == 0);
        Assert.True(dialogue.StrangeCount > 0);
        read.Dispose();
        write.Dispose();
        _near.Dispose();

        int Round(int seed)
        {
            Span<byte> packet = stackalloc byte[KeeperMessage.LongestBytes];
            Span<byte> name = stackalloc byte[8];
            int number = write.Number, sent = 0;
            ReadOnlySpan<int> one = new(in number);
            for (int i = 0; i < 16; i++)
            {
                name.Fill((byte)('a' + ((seed + i) % 50)));
                sent += Must(packet, KeeperMessage.Write(packet, KeeperMessageKind.Store, name), one);
            }
            name.Fill((byte)('a' + (seed % 20)));
            sent += Must(packet, KeeperMessage.Write(packet, KeeperMessageKind.Drop, name), []);
            sent += Must(packet, KeeperMessage.Write(packet, KeeperMessageKind.Peek), []);
            sent += Must(packet, KeeperMessage.Write(packet, KeeperMessageKind.Running), []);
            sent += Must(packet, KeeperMessage.Write(packet, KeeperMessageKind.Reap, int.MaxValue), []);
            sent += Must(packet, KeeperMessage.Write(packet, KeeperMessageKind.Held, name), one);
            if (seed % 3 == 0)
                sent += Must(packet, KeeperMessage.Write(packet, KeeperMessageKind.Restore), []);
            for (int i = 0; i < 4; i++)
            {
                dialogue.Read();
                dialogue.NoteChildEnded();
                while (KeeperPacket.Receive(_near, packet, out KeeperPacket answer) == Errno.None)
                    KeeperPacket.Close(answer.Descriptor);
                dialogue.Send();
            }
            return sent;
        }

        int Must(Span<byte> packet, int length, ReadOnlySpan<int> numbers)
        {
            if (MessageCalls.TrySend(_near, packet[..length], numbers, out _) is { Value: not 0 } refused)
                throw new InvalidOperationException(refused.Text);
            return 1;
        }
    }

    [Fact]
    public void ANumberOfTheEnvironmentThatIsNoSocketOfTheParents_IsLeftAlone()
    {
        (FileDescriptor read, FileDescriptor write) = Pipe();
        using (read)
        using (write)
        {
            // A pair of this process itself, a pipe, and nothing.
            Assert.All((int[])[_near.Number, read.Number, 1 << 19], number => Assert.Null(KeeperLink.TryTake(number)));
            Assert.True(Libc.fcntl(_near.Number, ClientLibc.F_GETFD, 0) >= 0);
            Assert.True(Libc.fcntl(read.Number, ClientLibc.F_GETFD, 0) >= 0);
        }
        _near.Dispose();
        _far.Dispose();
    }

    [Theory]
    [InlineData("")]
    [InlineData("a\0b")]
    public void WhatIsNoNameIsRefusedHere(string name)
    {
        using KeeperLink link = new(_near, 1);
        Assert.Throws<ArgumentException>(() => link.Store(name, _far));
        Assert.Throws<ArgumentException>(() => link.Drop(name + new string('ä', name.Length == 0 ? 0 : 64)));
        Assert.False(KeeperLink.IsName(new string('ä', 64)));
        Assert.True(KeeperLink.IsName(new string('ä', 63) + "x"));
        _far.Dispose();
    }

    private Errno Send(KeeperMessageKind kind)
    {
        byte[] packet = new byte[KeeperMessage.LongestBytes];
        return MessageCalls.TrySend(_near, packet.AsSpan(0, KeeperMessage.Write(packet, kind)), default(ReadOnlySpan<int>), out _);
    }

    private Errno Send(ReadOnlySpan<byte> bytes, FileDescriptor descriptor, int count)
    {
        Span<int> numbers = stackalloc int[count];
        numbers.Fill(descriptor.Number);
        return MessageCalls.TrySend(_near, bytes, numbers, out _);
    }

    private static unsafe (FileDescriptor Read, FileDescriptor Write) Pipe()
    {
        int* ends = stackalloc int[2];
        Assert.Equal(0, Libc.pipe2(ends, Libc.O_CLOEXEC | ClientLibc.O_NONBLOCK));
        return (new FileDescriptor(ends[0]), new FileDescriptor(ends[1]));
    }

    private static unsafe void Write(FileDescriptor write)
    {
        byte one = 1;
        Assert.Equal(1, Libc.write(write.Number, &one, 1));
    }

    private static unsafe nint Available(FileDescriptor read)
    {
        byte* room = stackalloc byte[16];
        return Libc.read(read.Number, room, 16);
    }

    /// <summary>Nobody has the other end any more.</summary>
    private static void AssertClosed(FileDescriptor readTaken)
    {
        using (readTaken)
            Assert.Equal(0, Available(readTaken));
    }
}
