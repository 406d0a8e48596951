using Launchd.AcceptanceTests.Support;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.Host.Loop;
using Launchd.Host.Operators;
using Launchd.Host.Provisioning;
using Launchd.Linux.Listening;
using Launchd.Linux.Loop;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Questions about descriptors beside the loop: all are asked, and one that does not come back keeps nobody waiting.</summary>
public sealed class DescriptorLooksTests : IDisposable
{
    // Set while the thread that looks stands still at one that does not come back.
    private static readonly ThreadLocal<ManualResetEventSlim> Still = new();

    private readonly EventLoop _loop = new();
    private readonly Mailbox _mailbox = new();
    private readonly Delays _delays;
    private readonly List<FileDescriptor> _open = [];

    public DescriptorLooksTests()
    {
        _delays = new Delays(_loop);
        Assert.Equal(Errno.None, _loop.Watch(_mailbox.Wakeup, IoReadiness.Readable, 0, _ => _mailbox.Deliver()));
        for (int i = 0; i < 6; i++)
            _open.Add(FileDescriptor.CreateMemory("looked-at", i));
    }

    public void Dispose()
    {
        _open.ForEach(o => o.Dispose());
        _delays.Dispose();
        _mailbox.Dispose();
        _loop.Dispose();
    }

    [Fact]
    public void EachIsAskedAbout_OnAnotherThread()
    {
        DescriptorLooks looks = Patient();
        int loop = Environment.CurrentManagedThreadId;

        IReadOnlyDictionary<FileDescriptor, (int Number, int Thread)> answers = Ask(
            looks, d => (d.Number, Environment.CurrentManagedThreadId));

        Assert.Equal(_open.Select(o => o.Number), _open.Select(o => answers[o].Number));
        Assert.DoesNotContain(answers.Values, a => a.Thread == loop);
    }

    [Fact]
    public void OneThatDoesNotComeBack_IsLeftBehind_AndNotAskedAboutAgain()
    {
        DescriptorLooks looks = Patient();
        using ManualResetEventSlim mayGo = new();
        FileDescriptor[] stuck = [_open[1], _open[5]];
        bool Look(FileDescriptor d)
        {
            if (stuck.Contains(d))
            {
                Still.Value!.Set();
                mayGo.Wait();
            }
            return true;
        }

        IReadOnlyDictionary<FileDescriptor, bool> answers = Ask(looks, Look);

        Assert.Equal([_open[0], _open[2], _open[3], _open[4]], answers.Keys);
        Assert.Equal(2, looks.StuckCount);
        Assert.Equal(4, Ask(looks, Look).Count);
        // It is not closed under the thread that asks about it.
        int number = stuck[0].Number;
        stuck[0].Dispose();
        Assert.True(File.Exists($"/proc/self/fd/{number}") || Directory.Exists($"/proc/self/fd/{number}"));

        mayGo.Set();
        Turn(() => looks.StuckCount == 0);
        Assert.True(stuck[0].IsClosed);
        _ = _open.Remove(stuck[0]);
        Assert.Equal(5, Ask(looks, Look).Count);
    }

    [Fact]
    public void WithoutAThread_OrWithAThrow_OnlyThatAnswerIsMissing()
    {
        List<Exception> told = [];
        _mailbox.OnDefect = told.Add;
        DescriptorLooks none = new(_mailbox, _delays) { StartThread = _ => false };
        Assert.Empty(Ask(none, d => d.Number));
        Assert.Empty(Ask(none, d => d.Number));

        DescriptorLooks looks = Patient();
        IReadOnlyDictionary<FileDescriptor, int> answers = Ask(
            looks, d => d == _open[2] ? throw new InvalidOperationException("planted") : d.Number);

        Assert.Equal(5, answers.Count);
        Turn(() => told.Count == 1);
    }

    [Fact]
    public void TheQueuesOfManyAreToldByOneQuestion()
    {
        List<FileDescriptor> listeners = [];
        for (int i = 0; i < 8; i++)
        {
            ListenAddress endpoint = new ListenAddress.Unix(UnixSocketKind.Stream, $"looks-{Environment.ProcessId}-{i}", IsAbstract: true);
            ListenerRequest request = new() { Endpoints = [endpoint], BacklogCount = 3 + i };
            listeners.Add(
                ListenerOpener.Open(request).ValueOr(f => throw new InvalidOperationException(f.ToString())).Listeners[0].Descriptor);
        }
        using System.Net.Sockets.Socket client = new(System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, 0);
        client.Connect(new System.Net.Sockets.UnixDomainSocketEndPoint($"\0looks-{Environment.ProcessId}-2"));
        IReadOnlyDictionary<FileDescriptor, (int, int)?>? queues = null;

        Patient().Queues(listeners, found => queues = found);
        Turn(() => queues is not null);

        Assert.Equal(Enumerable.Range(0, 8).Select(i => ((int, int)?)(i == 2 ? 1 : 0, 3 + i)), listeners.Select(l => queues![l]));
        listeners.ForEach(l => l.Dispose());
    }

    [Fact]
    public void TheMailboxDeliversSoManyInATurn()
    {
        List<int> delivered = [];
        for (int i = 0; i < (2 * Mailbox.MostInATurn) + 1; i++)
        {
            int number = i;
            _mailbox.Post(() => delivered.Add(number));
        }

        _mailbox.Deliver();
        Assert.Equal(Mailbox.MostInATurn, delivered.Count);
        _mailbox.Post(() => delivered.Add(-1));
        Turn(() => delivered.Contains(-1));

        Assert.Equal([.. Enumerable.Range(0, (2 * Mailbox.MostInATurn) + 1), -1], delivered);
    }

    // The loop does not turn before the thread has come to its end, or to one that does not come back: so no other one is left behind,
    // however long the thread has to wait for a processor.
    private DescriptorLooks Patient() => new(_mailbox, _delays)
    {
        StartThread = run =>
        {
            ManualResetEventSlim still = new();
            new Thread(() =>
            {
                Still.Value = still;
                run();
                still.Set();
            }).Start();
            Assert.True(still.Wait(Deadline.Generous), "a look does not end");
            return true;
        },
    };

    private IReadOnlyDictionary<FileDescriptor, T> Ask<T>(DescriptorLooks looks, Func<FileDescriptor, T> look)
    {
        IReadOnlyDictionary<FileDescriptor, T>? answers = null;
        looks.Ask(_open, look, found => answers = found);
        Turn(() => answers is not null);
        return answers!;
    }

    /// <summary>Takes turns of the loop until it is so.</summary>
    private void Turn(Func<bool> isSo)
    {
        long deadline = Clock.MonotonicNanoseconds + ((long)Deadline.Generous.TotalMilliseconds * 1_000_000);
        while (!isSo())
        {
            Assert.True(Clock.MonotonicNanoseconds < deadline, "the loop was not told in time");
            _ = _loop.Wait(1_000_000_000);
        }
    }
}
