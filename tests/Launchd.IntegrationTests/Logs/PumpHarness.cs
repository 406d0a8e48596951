using System.Collections.Concurrent;
using System.Text;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Logs;
using Launchd.Model;
using Xunit;

namespace Launchd.IntegrationTests.Logs;

/// <summary>A pump, a main loop that runs on the test's thread while it waits, and a directory that goes with it.</summary>
internal sealed class PumpHarness : IDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private readonly BlockingCollection<Action> _posted = [];

    public PumpHarness(FileDescriptor? display = null, OutputStyle? style = null, TimeSpan? tailPatience = null, bool byProcess = false)
    {
        Display = display is null ? null : OutputWriter.Open(display);
        Pump = LogPump.TryStart(new LogPumpOptions
        {
            Post = _posted.Add,
            Ended = (instance, stream) => Ended.Add((instance, stream)),
            Noticed = Notices.Add,
            Display = Display,
            WritesByProcess = byProcess,
            Style = style ?? OutputStyle.Plain,
            TailPatience = tailPatience ?? TimeSpan.FromHours(1),
        })!;
    }

    public LogPump Pump { get; }

    public OutputWriter? Display { get; }

    public List<(long InstanceId, string Stream)> Ended { get; } = [];

    public List<PumpNotice> Notices { get; } = [];

    public string Folder { get; } = Directory.CreateTempSubdirectory("launchd-logs-").FullName;

    public static unsafe (FileDescriptor Read, FileDescriptor Write) Pipe(bool nonBlocking = false)
    {
        int* ends = stackalloc int[2];
        Assert.Equal(0, Libc.pipe2(ends, Libc.O_CLOEXEC | (nonBlocking ? Libc.O_NONBLOCK : 0)));
        return (new FileDescriptor(ends[0]), new FileDescriptor(ends[1]));
    }

    public static void Write(FileDescriptor target, string text) => Write(target, Encoding.UTF8.GetBytes(text));

    public static void Write(FileDescriptor target, ReadOnlySpan<byte> bytes)
    {
        while (!bytes.IsEmpty)
        {
            int count = PumpCalls.Write(target.Number, bytes, out Errno error);
            Assert.Equal(Errno.None, error);
            bytes = bytes[count..];
        }
    }

    /// <summary>Reads to the end of the pipe.</summary>
    public static byte[] ReadAll(FileDescriptor source)
    {
        using var all = new MemoryStream();
        byte[] buffer = new byte[256 * 1024];
        while (true)
        {
            int count = PumpCalls.Read(source.Number, buffer, out Errno error);
            Assert.Equal(Errno.None, error);
            if (count == 0)
                return all.ToArray();
            all.Write(buffer, 0, count);
        }
    }

    /// <summary>Reads until so many lines have come.</summary>
    public static string[] ReadLines(FileDescriptor source, int count)
    {
        using var all = new MemoryStream();
        byte[] buffer = new byte[64 * 1024];
        while (all.GetBuffer().AsSpan(0, (int)all.Length).Count((byte)'\n') < count)
        {
            int length = PumpCalls.Read(source.Number, buffer, out Errno error);
            Assert.Equal(Errno.None, error);
            Assert.NotEqual(0, length);
            all.Write(buffer, 0, length);
        }
        return Encoding.UTF8.GetString(all.ToArray()).TrimEnd('\n').Split('\n');
    }

    /// <summary>A thread of the test; it ends by itself.</summary>
    public static Thread Start(Action work)
    {
        var thread = new Thread(() => work()) { IsBackground = true };
        thread.Start();
        return thread;
    }

    public static void Join(Thread thread) => Assert.True(thread.Join(Deadline), "a writer or reader hangs");

    /// <summary>Adds a source and returns the end to write to.</summary>
    public FileDescriptor AddSource(long instanceId, string service = "web", int slot = 0, LogPolicy? file = null, string stream = "output",
        int? longest = null)
    {
        (FileDescriptor read, FileDescriptor write) = Pipe();
        Pump.Add(new OutputSource { InstanceId = instanceId, Service = service, Slot = slot, Stream = stream, File = file,
            LongestLineBytes = longest ?? ServiceDefinition.DefaultLongestLineBytes }, read);
        return write;
    }

    /// <summary>Runs what the pump posts until the condition holds.</summary>
    public void RunUntil(Func<bool> condition)
    {
        while (!condition())
        {
            Assert.True(_posted.TryTake(out Action? action, Deadline), "nothing more came from the pump");
            action();
        }
    }

    public void Flush(long instanceId)
    {
        bool done = false;
        Pump.Flush(instanceId, () => done = true);
        RunUntil(() => done);
    }

    /// <summary>Waits until everything asked of the pump before this is done.</summary>
    public void Settle() => Flush(instanceId: -1);

    /// <summary>
    /// Keeps the pump's thread in a request until it is disposed; what is asked and written meanwhile waits for it together.
    /// </summary>
    public IDisposable Hold()
    {
        var hold = new PumpHold();
        Pump.Enqueue(hold.Wait);
        hold.Begun.Wait();
        return hold;
    }

    public string[] Tail(string service = "web", int count = 10_000)
    {
        string[]? texts = null;
        Pump.Tail([service], count, lines => texts = [.. lines.Select(l => l.Text)]);
        RunUntil(() => texts is not null);
        return texts!;
    }

    public void Dispose()
    {
        Pump.Dispose();
        Display?.Dispose();
        Directory.Delete(Folder, recursive: true);
    }

    private sealed class PumpHold : IDisposable
    {
        private readonly ManualResetEventSlim _over = new();

        public ManualResetEventSlim Begun { get; } = new();

        public void Wait()
        {
            Begun.Set();
            _over.Wait();
        }

        public void Dispose() => _over.Set();
    }
}
