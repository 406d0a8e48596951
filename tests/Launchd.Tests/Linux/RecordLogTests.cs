using System.Text;
using Launchd.Client;
using Launchd.Linux.Memory;
using Launchd.Linux.Paths;
using Launchd.Tests.Simulation;
using Xunit;

namespace Launchd.Tests.Linux;

public sealed class RecordLogTests
{
    [Fact]
    public void WhatWasCommittedIsThere_ForWhoeverTakesTheFileOver()
    {
        using RecordLog log = Create();
        Put(log, 1, 7, "one");
        Put(log, 1, 8, "two");
        Assert.Equal(Errno.None, log.Commit());
        Put(log, 1, 7, "three");
        log.Remove(1, 8);
        Put(log, 2, 7, "");
        Assert.Equal(Errno.None, log.Commit());
        Put(log, 3, 1, "never committed");

        using RecordLog next = Take(log);

        Assert.Equal(["1:7=three", "2:7="], All(next));
        Put(next, 3, 1, "goes on");
        Assert.Equal(Errno.None, next.Commit());
        using RecordLog third = Take(log);
        Assert.Equal(["1:7=three", "2:7=", "3:1=goes on"], All(third));
    }

    [Fact]
    public void OfACommitThatWasNotWrittenWhole_NothingHolds()
    {
        using RecordLog log = Create();
        Put(log, 1, 1, "before");
        _ = log.Commit();
        long before = Size(log.File);
        Put(log, 1, 1, "after");
        Put(log, 1, 2, "and another record");
        _ = log.Commit();
        byte[] whole = Content(log.File);

        for (long length = before; length < whole.Length; length++)
        {
            using RecordLog cut = RecordLog.TryTake(Memory(whole.AsSpan(0, (int)length)), out string why)!;
            Assert.True(cut is not null, why);
            Assert.Equal(["1:1=before"], All(cut));
            // It goes on from there, over what the other had begun.
            Put(cut, 1, 3, "next");
            _ = cut.Commit();
            using RecordLog again = Take(cut);
            Assert.Equal(["1:1=before", "1:3=next"], All(again));
        }
    }

    [Fact]
    public void AFlippedBit_CostsCommitsFromThereOn_AndNothingElse()
    {
        using RecordLog log = Create();
        List<string[]> states = [[]];
        for (int i = 0; i < 20; i++)
        {
            Put(log, 1, i % 5, $"content {i}");
            _ = log.Commit();
            states.Add(All(log));
        }
        byte[] whole = Content(log.File);
        SeededRandom random = new(1);
        for (int i = 0; i < 2_000; i++)
        {
            byte[] damaged = [.. whole];
            int at = random.Chance(10) ? random.Between(0, 128) : random.Between(4096, damaged.Length - 1);
            damaged[at] ^= (byte)(1 << random.Between(0, 7));
            using RecordLog? read = RecordLog.TryTake(Memory(damaged), out _);
            if (read is not null)
                Assert.Contains(states, s => s.SequenceEqual(All(read)));
        }
    }

    [Fact]
    public void ManyChanges_TakeNoMoreMemoryThanSomeTimesWhatHolds_AndNothingIsLost()
    {
        using RecordLog log = Create();
        SeededRandom random = new(2);
        Dictionary<long, string> expected = [];
        for (int i = 0; i < 30_000; i++)
        {
            long key = random.Between(0, 200);
            if (random.Chance(10))
            {
                log.Remove(1, key);
                _ = expected.Remove(key);
            }
            else
            {
                string text = new((char)('a' + (i % 26)), random.Between(0, 2000));
                Put(log, 1, key, text);
                expected[key] = text;
            }
            Assert.Equal(Errno.None, log.Commit());
            if (i % 1000 != 0)
                continue;
            using RecordLog next = Take(log);
            Assert.Equal(expected.OrderBy(e => e.Key).Select(e => $"1:{e.Key}={e.Value}"), All(next));
        }
        Assert.InRange(log.Bytes, 1, 2 << 20);
        // Some thirty megabytes went by. Offsets begin anew where there is room, and what is out of date was given back to the kernel.
        Assert.InRange(Size(log.File), 1, 16 << 20);
        Assert.InRange(Allocated(log.File), 1, 3 << 20);
    }

    [Fact]
    public void WhatIsNoLog_IsRefusedInWords()
    {
        Assert.Null(RecordLog.TryTake(Memory([]), out string why));
        Assert.Contains("no valid header", why, StringComparison.Ordinal);
        Assert.Null(RecordLog.TryTake(Memory(new byte[10_000]), out _));
        byte[] noise = new byte[50_000];
        new Random(3).NextBytes(noise);
        Assert.Null(RecordLog.TryTake(Memory(noise), out _));
    }

    [Fact]
    public void AnotherLogGetsWhatHoldsAndWhatIsNotCommittedYet()
    {
        using RecordLog log = Create(), other = Create();
        log.Put(1, 1, "one"u8);
        log.Put(1, 2, "two"u8);
        Assert.Equal(Errno.None, log.Commit());
        log.Remove(1, 1);
        log.Put(1, 1, "anew"u8);
        log.Put(1, 3, "three"u8);
        log.Remove(1, 3);

        Assert.Equal(Errno.None, log.CopyTo(other));

        using RecordLog read = Take(other);
        Assert.Equal("anew"u8, read.Find(1, 1)!);
        Assert.Equal("two"u8, read.Find(1, 2)!);
        Assert.Equal(2, read.Keys.Count);
    }

    private static RecordLog Create() => RecordLog.Create(out Errno refused) ?? throw new InvalidOperationException(refused.Text);

    private static void Put(RecordLog log, byte kind, long number, string text) => log.Put(kind, number, Encoding.UTF8.GetBytes(text));

    private static RecordLog Take(RecordLog log) => RecordLog.TryTake(log.File.Duplicate(), out string why)
        ?? throw new InvalidOperationException(why);

    private static string[] All(RecordLog log) => [.. log.Keys.Order().Select(k =>
        $"{k.Kind}:{k.Number}={Encoding.UTF8.GetString(log.Find(k.Kind, k.Number)!)}")];

    private static FileDescriptor Memory(ReadOnlySpan<byte> content)
    {
        FileDescriptor memory = FileDescriptor.CreateMemory("test", 0);
        File.WriteAllBytes(PathOf(memory), content);
        return memory;
    }

    private static byte[] Content(FileDescriptor file) => File.ReadAllBytes(PathOf(file));

    private static long Size(FileDescriptor file) => StatusOf(file).SizeBytes;

    private static long Allocated(FileDescriptor file) => StatusOf(file).AllocatedBytes;

    private static FileStatus StatusOf(FileDescriptor file) =>
        FileStatus.Read(file, out FileStatus status) == Errno.None ? status : throw new InvalidOperationException("it cannot be looked at");

    private static string PathOf(FileDescriptor file) => $"/proc/self/fd/{file.Number}";
}
