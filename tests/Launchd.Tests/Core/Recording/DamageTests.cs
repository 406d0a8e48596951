using Launchd.Core;
using Launchd.Core.Recording;
using Launchd.Tests.Simulation;
using Xunit;
using Xunit.Abstractions;

namespace Launchd.Tests.Core.Recording;

/// <summary>
/// Records that were damaged, or put together by somebody: they are refused with a sentence, or what they say can be gone on with.
/// <c>LAUNCHD_LONG=1</c> tries two million.
/// </summary>
public sealed class DamageTests(ITestOutputHelper output)
{
    // Numbers, strings, lists and maps whose number or length follows in eight bytes.
    private static readonly byte[] Heads = [0x1B, 0x3B, 0x5B, 0x7B, 0x9B, 0xBB];

    private static readonly Lazy<List<(Dictionary<RecordKey, ReadOnlyMemory<byte>> Records, Moment At)>> Whole = new(Collect);

    [Fact]
    public void DamagedRecordsAreRefusedOrCanBeGoneOnWith()
    {
        int refused = 0, taken = 0, contained = 0, count = Long.Is ? 2_000_000 : 2500;
        Parallel.For(0, count, seed =>
        {
            SeededRandom random = new((ulong)seed);
            (Dictionary<RecordKey, ReadOnlyMemory<byte>> records, Moment at) = Whole.Value[random.Between(0, Whole.Value.Count - 1)];
            records = Damage(records, random);
            RestoredState? restored;
            try
            {
                if (!StateReader.TryRead(records, out restored, out string? why))
                {
                    Assert.True(why.Length > 20, why);
                    Interlocked.Increment(ref refused);
                    return;
                }
            }
            catch (Exception thrown) when (thrown is not Xunit.Sdk.XunitException)
            {
                throw new InvalidOperationException($"seed {seed}: TryRead threw {thrown}", thrown);
            }
            Interlocked.Increment(ref taken);
            if (!GoOn(restored, records, at, seed))
                Interlocked.Increment(ref contained);
        });
        output.WriteLine($"{count} damaged: {refused} refused, {taken} taken, of these {contained} with a step that threw and was dropped");
        Assert.True(refused > count / 10);
        Assert.True(taken > count / 10);
    }

    /// <summary>
    /// Whether no step threw. One that throws is dropped whole by the host, and the service set aside; but only for a sum that is out of
    /// range, or wishes that do not settle.
    /// </summary>
    private static bool GoOn(RestoredState restored, Dictionary<RecordKey, ReadOnlyMemory<byte>> records, Moment at, int seed)
    {
        MemorySink sink = new();
        foreach ((RecordKey key, ReadOnlyMemory<byte> content) in records)
            sink.Records.Add(key, content);
        string doing = "restoring";
        bool isWhole = true;
        try
        {
            Supervisor core = new(restored, at);
            StateRecorder recorder = new(sink, restored, core);
            foreach (Event happened in (Event[])[
                Event.Booted.Value, new Event.TurnBegan(TurnKind.Starts), new Event.TurnBegan(TurnKind.Stops),
                new Event.ShutdownAsked("test", IsImmediate: false)])
            {
                doing = happened.ToString();
                IReadOnlyList<Effect> effects;
                try
                {
                    effects = [.. core.Step(happened, at)];
                }
                catch (Exception thrown) when (thrown is InvalidOperationException or OverflowException)
                {
                    isWhole = false;
                    continue;
                }
                recorder.Note(core, restored.Adopted, effects);
            }
        }
        catch (Exception thrown) when (thrown is not Xunit.Sdk.XunitException)
        {
            throw new InvalidOperationException($"seed {seed}: {doing} threw {thrown}", thrown);
        }
        return isWhole;
    }

    private static Dictionary<RecordKey, ReadOnlyMemory<byte>> Damage(
        Dictionary<RecordKey, ReadOnlyMemory<byte>> whole, SeededRandom random)
    {
        Dictionary<RecordKey, ReadOnlyMemory<byte>> records = new(whole);
        RecordKey[] keys = [.. records.Keys];
        for (int times = random.Pick(1, 1, 1, 2, 5); times > 0; times--)
        {
            RecordKey key = random.Pick(keys);
            if (!records.TryGetValue(key, out ReadOnlyMemory<byte> content) || content.IsEmpty)
                continue;
            byte[] bytes = content.ToArray();
            int at = random.Between(0, bytes.Length - 1), other = random.Between(0, bytes.Length - 1);
            switch (random.Between(0, 7))
            {
                case 0: records[key] = content[..at]; break;
                case 1: bytes[at] = unchecked((byte)random.Next()); records[key] = bytes; break;
                case 2: records[key] = (byte[])[.. bytes.AsSpan(0, at), .. bytes.AsSpan(other)]; break;
                case 3: records[key] = records[random.Pick([.. records.Keys.Where(k => k.Kind == key.Kind)])]; break;
                case 4: records.Remove(key); break;
                // A length, or a number, of any size.
                case 5: records[key] = (byte[])[.. bytes.AsSpan(0, at), random.Pick(Heads), .. Eight(random), .. bytes.AsSpan(at)]; break;
                default: bytes[at] ^= (byte)(1 << random.Between(0, 7)); records[key] = bytes; break;
            }
        }
        return records;
    }

    private static byte[] Eight(SeededRandom random) =>
        BitConverter.GetBytes(random.Pick(random.Next(), random.Next() >> 40, ulong.MaxValue));

    private static List<(Dictionary<RecordKey, ReadOnlyMemory<byte>> Records, Moment At)> Collect()
    {
        List<(Dictionary<RecordKey, ReadOnlyMemory<byte>> Records, Moment At)> kept = [];
        for (ulong seed = 0; seed < 6; seed++)
        {
            int step = 0;
            Simulation.Simulation.Run(
                Simulation.Simulation.FirstSlow + seed,
                onlooker: (definition, core) => new Twin(definition, core, () => false, (sink, now) =>
                {
                    if (++step % 25 == 0)
                        kept.Add((new(sink.Records), now));
                }));
        }
        return kept;
    }
}
