using Launchd.Keeper;
using Launchd.Linux.Processes;
using Xunit;

namespace Launchd.Tests.Keeper;

/// <summary>What the supervisor and its keeper say to each other, and what is no message.</summary>
public sealed class KeeperMessageTests
{
    private readonly byte[] _packet = new byte[KeeperMessage.LongestBytes];

    [Theory]
    [InlineData(KeeperMessageKind.Restore)]
    [InlineData(KeeperMessageKind.Peek)]
    [InlineData(KeeperMessageKind.NotWanted)]
    [InlineData(KeeperMessageKind.LetGo)]
    [InlineData(KeeperMessageKind.Running)]
    [InlineData(KeeperMessageKind.NoneEnded)]
    [InlineData(KeeperMessageKind.ChildEnded)]
    [InlineData(KeeperMessageKind.Try)]
    [InlineData(KeeperMessageKind.HandOver)]
    internal void AKindAloneIsRead(KeeperMessageKind kind) => Assert.Equal(kind, Read(KeeperMessage.Write(_packet, kind)).Kind);

    [Theory]
    [InlineData(KeeperMessageKind.Store, 1)]
    [InlineData(KeeperMessageKind.Drop, 0)]
    [InlineData(KeeperMessageKind.Held, 1)]
    internal void ANameIsRead_WithTheDescriptorsOfItsKindAlone(KeeperMessageKind kind, int descriptors)
    {
        byte[] name = [.. Enumerable.Repeat((byte)0xC3, KeeperMessage.LongestName)];

        int length = KeeperMessage.Write(_packet, kind, name);

        Assert.Equal(name, Read(length, descriptors).Name.ToArray());
        for (int other = 0; other < 4; other++)
            Assert.Equal(other == descriptors, KeeperMessage.TryRead(_packet.AsSpan(0, length), other, out _));
    }

    [Fact]
    public void NumbersAreRead()
    {
        Assert.Equal(4711, Read(KeeperMessage.Write(_packet, KeeperMessageKind.Reap, 4711)).Pid);
        Assert.Equal(78, Read(KeeperMessage.Write(_packet, KeeperMessageKind.Ending, 78)).ExitCode);
        Assert.Equal(1L << 40, Read(KeeperMessage.Write(_packet, KeeperMessageKind.Full, 1L << 40)).Count);
        Reaped end = new(12, 0, 11, true);
        Assert.Equal(end, Read(KeeperMessage.Write(_packet, end)).End);
    }

    [Fact]
    public void TextsAreRead_AndCutWhereTheyAreTooLong()
    {
        byte[] text = [.. Enumerable.Repeat((byte)'t', KeeperMessage.LongestText + 1)];

        Assert.Equal("0.1.0"u8, Read(KeeperMessage.WriteText(_packet, KeeperMessageKind.Proved, "0.1.0"u8)).Text);
        Assert.Equal(text.AsSpan(1), Read(KeeperMessage.WriteText(_packet, KeeperMessageKind.Refuses, text)).Text);
        KeeperMessage tried = Read(KeeperMessage.Write(_packet, TrialOutcome.Exited, 3, text));
        Assert.Equal((TrialOutcome.Exited, 3), (tried.Outcome, tried.OutcomeNumber));
        Assert.Equal(text.AsSpan(1), tried.Text);
        Assert.Equal([], Read(KeeperMessage.Write(_packet, TrialOutcome.TooLate, 10, [])).Text);
    }

    [Fact]
    public void TheHistoryIsRead()
    {
        KeeperHistory history = new()
        {
            DiedAt = 5, RecentDeaths = 3, LastPid = 44, LastSignal = 9, DumpedCore = 1, IsDistrusted = 1,
            RefusedCount = 7, StrangeCount = 8,
        };

        Assert.Equal(history, Read(KeeperMessage.Write(_packet, history)).History);
        Assert.Equal(new Reaped(44, 0, 9, true), history.LastDeath);
    }

    /// <summary>Every prefix and every longer packet is none.</summary>
    [Theory]
    [InlineData(KeeperMessageKind.Drop)]
    [InlineData(KeeperMessageKind.Reap)]
    [InlineData(KeeperMessageKind.Ended)]
    [InlineData(KeeperMessageKind.RestoreEnd)]
    [InlineData(KeeperMessageKind.Full)]
    [InlineData(KeeperMessageKind.Peek)]
    internal void NoOtherLengthIsRead(KeeperMessageKind kind)
    {
        int length = kind switch
        {
            KeeperMessageKind.Drop => KeeperMessage.Write(_packet, kind, "name"u8),
            KeeperMessageKind.Reap => KeeperMessage.Write(_packet, kind, 1),
            KeeperMessageKind.Ended => KeeperMessage.Write(_packet, new Reaped(1, 2, 3, false)),
            KeeperMessageKind.RestoreEnd => KeeperMessage.Write(_packet, new KeeperHistory()),
            KeeperMessageKind.Full => KeeperMessage.Write(_packet, kind, 1L),
            _ => KeeperMessage.Write(_packet, kind),
        };

        for (int other = 0; other < _packet.Length; other++)
            Assert.Equal(other == length, KeeperMessage.TryRead(_packet.AsSpan(0, other), 0, out _));
    }

    [Theory]
    [InlineData("", 0)] // nothing
    [InlineData("04", 0)]
    [InlineData("04010100", 0)] // a length that is not there
    [InlineData("0401000000", 0)] // and one that is too short
    [InlineData("04020000", 0)] // another layout
    [InlineData("00010000", 0)] // no kind
    [InlineData("FF010000", 0)]
    [InlineData("02010000", 0)] // no name
    [InlineData("020102006100", 0)] // a NUL in a name
    [InlineData("05010400FFFFFFFF", 0)] // a pid that would mean a group
    [InlineData("0501040000000000", 0)]
    [InlineData("0701040000010000", 0)] // no exit code
    public void WhatIsNoMessageIsRefused(string hex, int descriptors) =>
        Assert.False(KeeperMessage.TryRead(Convert.FromHexString(hex), descriptors, out _));

    [Fact]
    public void ANameIsNeverTooLong()
    {
        byte[] packet = [2, 1, 128, 0, .. Enumerable.Repeat((byte)'n', 128)];

        Assert.False(KeeperMessage.TryRead(packet, 0, out _));
        Assert.False(KeeperMessage.IsName(packet.AsSpan(4)));
        Assert.True(KeeperMessage.IsName(packet.AsSpan(5)));
    }

    private KeeperMessage Read(int length, int? descriptors = null)
    {
        int count = descriptors ?? (KeeperMessage.HasDescriptor((KeeperMessageKind)_packet[0]) ? 1 : 0);
        Assert.True(KeeperMessage.TryRead(_packet.AsSpan(0, length), count, out KeeperMessage message));
        return message;
    }
}
