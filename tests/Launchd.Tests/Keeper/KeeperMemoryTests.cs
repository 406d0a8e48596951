using System.Buffers.Binary;
using System.Text;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Keeper;
using Launchd.Linux.Paths;
using Xunit;

namespace Launchd.Tests.Keeper;

/// <summary>What one image of the keeper leaves to the next, which may be of another version.</summary>
public sealed unsafe class KeeperMemoryTests
{
    private const int HeadBytes = 16;

    private static readonly KeeperMemory Some = new()
    {
        StartedAt = 1, WantedEnd = 2, FileLimit = 3, Refused = 4, RefusedCount = 5, StrangeCount = 6, Supervisor = 4711, Socket = 8,
        Program = 9, HasHinted = 1, Tried = 12, Bell = 13, History = new KeeperHistory { DiedAt = 10, LastPid = 11, Upgrade = 2 },
    };

    [Fact]
    public void EverythingComesBack()
    {
        using KeeperTable table = Table("socket.http.0.0", "ä");
        KeeperDeaths deaths = new();
        for (int death = 1; death <= 4; death++)
            deaths.Note(death, death + 1, isKill: false, wasRunning: true);
        using FileDescriptor file = KeeperMemory.Write(Some, deaths, table, out _)!;

        using KeeperTable read = new(10);
        KeeperDeaths readDeaths = new();
        Assert.True(KeeperMemory.TryRead(file, out KeeperMemory memory, readDeaths, read, out _));

        Assert.Equal(Some, memory);
        Assert.Equal(["socket.http.0.0", "ä"], Enumerable.Range(0, read.Count).Select(i => Encoding.UTF8.GetString(read.NameAt(i))));
        Assert.Equal([table.NumberAt(0), table.NumberAt(1)], [read.NumberAt(0), read.NumberAt(1)]);
        Assert.Equal((4, deaths.Pause, true), (readDeaths.Recent(10), readDeaths.Pause, readDeaths.IsDistrusted(10)));
        // They are the other table's.
        Release(read);
    }

    /// <summary>Later versions have more parts, and more in each of them; earlier ones less.</summary>
    [Fact]
    public void WhatIsNotKnownIsPassedOver_AndWhatIsMissingIsNothing()
    {
        byte[] content = Content(Some);
        int facts = BinaryPrimitives.ReadInt32LittleEndian(content.AsSpan(HeadBytes + 4));
        byte[] longer =
        [
            .. content[..HeadBytes], .. Part(99, [1, 2, 3]), .. Part(1, [.. content[(HeadBytes + 8)..(HeadBytes + 8 + facts)], 1, 2, 3, 4]),
            .. content[(HeadBytes + 8 + facts)..], .. Part(98, []),
        ];
        byte[] shorter = [.. content[..HeadBytes], .. Part(1, content[(HeadBytes + 8)..(HeadBytes + 8 + facts - 20)])];

        Assert.True(TryRead(longer, out KeeperMemory more, out _));
        Assert.Equal(Some, more);
        Assert.True(TryRead(shorter, out KeeperMemory less, out _));
        Assert.Equal((4711, 9, 0, 0), (less.Supervisor, less.Program, less.HasHinted, less.History.LastPid));
    }

    [Fact]
    public void AnotherLayoutIsRefusedWithItsNumber()
    {
        byte[] content = Content(Some);
        content[8] = 2;

        Assert.False(TryRead(content, out _, out string why));
        Assert.Equal("the keeper's memory has layout 2, and this version knows 1", why);
    }

    [Fact]
    public void NoDamageThrows()
    {
        byte[] content = Content(Some);
        for (int length = 0; length < content.Length; length++)
            _ = TryRead(content[..length], out _, out _);
        Random random = new(1);
        for (int round = 0; round < 5000; round++)
        {
            byte[] damaged = [.. content];
            damaged[random.Next(damaged.Length)] ^= (byte)(1 << random.Next(8));
            _ = TryRead(damaged, out _, out _);
        }
        Assert.False(TryRead([], out _, out _));
        Assert.True(TryRead(content, out _, out _));
    }

    private static byte[] Part(int kind, byte[] content)
    {
        byte[] part = new byte[8 + content.Length];
        BinaryPrimitives.WriteInt32LittleEndian(part, kind);
        BinaryPrimitives.WriteInt32LittleEndian(part.AsSpan(4), content.Length);
        content.CopyTo(part, 8);
        return part;
    }

    private static byte[] Content(in KeeperMemory memory)
    {
        using KeeperTable table = Table("one");
        using FileDescriptor file = KeeperMemory.Write(memory, new KeeperDeaths(), table, out _)!;
        byte[] room = new byte[4096];
        fixed (byte* start = room)
            return room[..(int)Libc.pread(file.Number, start, (nuint)room.Length, 0)];
    }

    private static bool TryRead(byte[] content, out KeeperMemory memory, out string why)
    {
        using FileDescriptor file = FileOpener.CreateMemory("test", out _)!;
        fixed (byte* start = content)
            Assert.Equal(content.Length, Libc.pwrite(file.Number, start, (nuint)content.Length, 0));
        return KeeperMemory.TryRead(file, out memory, new KeeperDeaths(), null, out why);
    }

    private static KeeperTable Table(params string[] names)
    {
        KeeperTable table = new(10);
        foreach (string name in names)
            Assert.True(table.Put(Encoding.UTF8.GetBytes(name), FileOpener.CreateMemory("held", out _)!.ReleaseNumber()));
        return table;
    }

    // Its numbers belong to another one.
    private static void Release(KeeperTable table)
    {
        for (int index = 0; index < table.Count; index++)
            Assert.True(table.NumberAt(index) > 2);
    }
}
