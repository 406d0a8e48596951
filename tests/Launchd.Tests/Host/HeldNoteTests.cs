using System.Formats.Cbor;
using Launchd.Host.Keeping;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Paths;
using Launchd.Tests.Simulation;
using Xunit;

namespace Launchd.Tests.Host;

public sealed class HeldNoteTests
{
    private static readonly HeldNote Whole = new(
        "instance.7.output", new DescriptorIdentity(ulong.MaxValue, 2, FileKind.Fifo, 1, -3, uint.MaxValue, 4));

    [Fact]
    public void WhatIsWrittenIsRead() => Assert.Equal(Whole, HeldNote.TryRead(Written(Whole)));

    [Fact]
    public void ANameThatNobodyHoldsByIsNone()
    {
        Assert.Null(HeldNote.TryRead(Written(Whole with { Name = "" })));
        Assert.Null(HeldNote.TryRead(Written(Whole with { Name = new string('n', 128) })));
    }

    [Fact]
    public void NoBytesThrow()
    {
        byte[] whole = Written(Whole);
        SeededRandom random = new(1);
        for (int i = 0; i < 20_000; i++)
        {
            byte[] damaged = whole[..random.Between(0, whole.Length)];
            for (int change = 0; damaged.Length > 0 && change < random.Between(1, 4); change++)
                damaged[random.Between(0, damaged.Length - 1)] = (byte)random.Between(0, 255);
            if (HeldNote.TryRead(damaged) is { } read)
                Assert.InRange(read.Name.Length, 1, 127);
        }
    }

    private static byte[] Written(HeldNote note)
    {
        CborWriter writer = new(CborConformanceMode.Lax);
        note.Write(writer);
        return writer.Encode();
    }
}
