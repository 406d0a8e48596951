// Three processes, one memory: "source" makes 64 MiB and publishes it, "relay" and "sink" ask for it. Messages go from source over relay
// to sink through two rings in it, without a system call as long as everybody has work. The configuration stands in ring.toml.
using System.Diagnostics;
using System.IO.MemoryMappedFiles;
using Launchd.Client;
using Microsoft.Win32.SafeHandles;

namespace Launchd.Samples.Ring;

internal static class Program
{
    private const long MemoryBytes = 64 * 1024 * 1024;
    private const int Batch = 256;

    private static async Task<int> Main(string[] arguments)
    {
        long count = long.Parse(Environment.GetEnvironmentVariable("MESSAGES") ?? "10000000");
        await using LaunchdClient client = LaunchdClient.FromEnvironment();
        if (arguments[0] == "source")
        {
            using FileDescriptor memory = FileDescriptor.CreateMemory("ring", MemoryBytes);
            await client.PublishAsync("ring", memory);
            using MemoryMappedFile mapping = MemoryMappedFile.CreateFromFile(
                new SafeFileHandle(memory.Duplicate().ReleaseNumber(), ownsHandle: true), null, 0, MemoryMappedFileAccess.ReadWrite,
                HandleInheritability.None, leaveOpen: false);
            _ = client.NotifyReady("published");
            Work(mapping, arguments[0], count);
            // Siblings who have not asked yet still can: the number stays ours until the supervisor ends us.
            await Task.Delay(Timeout.Infinite);
        }
        else
        {
            using NamedDescriptor ring = await client.RequestAsync(
                "source", "ring", new RequestOptions { Wait = TimeSpan.FromSeconds(10) });
            Console.WriteLine($"{arguments[0]}: the ring came by the way '{ring.Way}'");
            using MemoryMappedFile mapping = ring.TakeMemory();
            Work(mapping, arguments[0], count);
        }
        return 0;
    }

    private static unsafe void Work(MemoryMappedFile mapping, string role, long count)
    {
        using MemoryMappedViewAccessor view = mapping.CreateViewAccessor();
        byte* memory = null;
        view.SafeMemoryMappedViewHandle.AcquirePointer(ref memory);
        var first = new SharedRing(memory, MemoryBytes / 2);
        var second = new SharedRing(memory + MemoryBytes / 2, MemoryBytes / 2);
        switch (role)
        {
            case "source": Produce(first, count); break;
            case "relay": Relay(first, second, count); break;
            default: Consume(second, count); break;
        }
        view.SafeMemoryMappedViewHandle.ReleasePointer();
    }

    private static void Produce(SharedRing to, long count)
    {
        for (long sent = 0; sent < count;)
        {
            Span<Message> room = to.Room((int)Math.Min(Batch, count - sent));
            foreach (ref Message message in room)
                message = new Message { Sequence = sent, Value = sent++ };
            to.Wrote(room.Length);
        }
    }

    private static void Relay(SharedRing from, SharedRing to, long count)
    {
        for (long passed = 0; passed < count;)
        {
            Span<Message> filled = from.Filled(Batch);
            Span<Message> room = to.Room(filled.Length);
            filled = filled[..room.Length];
            for (int i = 0; i < filled.Length; i++)
                room[i] = filled[i] with { Value = filled[i].Value * 2 };
            to.Wrote(filled.Length);
            from.Read(filled.Length);
            passed += filled.Length;
        }
    }

    private static void Consume(SharedRing from, long count)
    {
        var clock = new Stopwatch();
        for (long got = 0; got < count;)
        {
            Span<Message> filled = from.Filled(Batch);
            clock.Start();
            foreach (ref readonly Message message in filled)
            {
                if (message.Sequence != got || message.Value != 2 * got)
                    throw new InvalidDataException($"message {got} came as {message.Sequence} with {message.Value}");
                got++;
            }
            from.Read(filled.Length);
        }
        Console.WriteLine($"sink: {count} messages in order, {count / clock.Elapsed.TotalSeconds / 1e6:0.0} million a second");
    }
}
