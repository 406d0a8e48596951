using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// Addresses that a reload takes away while clients come to them without a pause: who could still connect is answered. The server is slow
/// to accept, so that somebody always waits in the queue, and on SIGTERM it ends at once.
/// </summary>
public sealed class RetiredListenerTests
{
    private const string Server = """
        '''
        import os, select, signal, socket, time
        listeners = [socket.socket(fileno=3 + i) for i in range(int(os.environ["LISTEN_FDS"]))]
        told = []
        signal.signal(signal.SIGTERM, lambda *_: told.append(1))
        n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        n.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
        while not told:
            try:
                ready, _, _ = select.select(listeners, [], [], 1)
            except InterruptedError:
                continue
            for s in ready:
                if told:
                    break
                c, _ = s.accept()
                time.sleep(0.002)
                c.sendall(os.environ["LAUNCHD_GENERATION"].encode())
                c.close()
        '''
        """;

    [TheoryWhenTool("python3")]
    [InlineData("overlap", "tcp")]
    [InlineData("replace", "tcp")]
    [InlineData("overlap", "unix")]
    [InlineData("replace", "unix")]
    [InlineData("overlap", "abstract")]
    [InlineData("replace", "abstract")]
    public async Task WhoConnectedToTheOldAddressIsAnswered(string update, string kind)
    {
        string[] addresses = Addresses(kind);
        await using Supervisor supervisor = Supervisor.StartText(Web(addresses[0], update));
        _ = await supervisor.Event("ready", "web");
        await using Crowd crowd = new(EndPointOf(supervisor, addresses[0]));
        await crowd.Answered(50);

        (int code, string output, string errors) = await supervisor.Change(Web(addresses[1], update));

        Assert.True(code == 0, output + errors);
        Assert.StartsWith("2", await Ask(EndPointOf(supervisor, addresses[1])), StringComparison.Ordinal);
        Assert.Equal([], await crowd.Gone());
        Assert.Equal(0, await supervisor.Stop());
    }

    [TheoryWhenTool("python3")]
    [InlineData("tcp")]
    [InlineData("unix")]
    public async Task WhoConnectedToAServiceThatIsTakenOutIsAnswered(string kind)
    {
        string address = Addresses(kind)[0];
        await using Supervisor supervisor = Supervisor.StartText(Web(address, "overlap"));
        _ = await supervisor.Event("ready", "web");
        await using Crowd crowd = new(EndPointOf(supervisor, address));
        await crowd.Answered(50);

        (int code, string output, string errors) = await supervisor.Change("[services.other]\ncommand = [\"sleep\", \"2147483647\"]\n");

        Assert.True(code == 0, output + errors);
        Assert.Equal([], await crowd.Gone());
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task ConnectionsThatTheSupervisorAcceptsAreServedBeforeTheirAddressGoes()
    {
        string[] addresses = Addresses("tcp");
        string text = """
            [sockets.http]
            listen = "ADDRESS"
            max_connections = 1000
            trigger_limit = { burst = 0, interval = "1s" }

            [services.web]
            command = ["echo", "1"]
            sockets = ["http"]
            start = "connection"
            output = "socket"
            """;
        await using Supervisor supervisor = Supervisor.StartText(text.Replace("ADDRESS", addresses[0], StringComparison.Ordinal));
        _ = await supervisor.Event("supervisor-started");
        await using Crowd crowd = new(EndPointOf(supervisor, addresses[0]));
        await crowd.Answered(50);

        (int code, string output, string errors) = await supervisor.Change(text.Replace("ADDRESS", addresses[1], StringComparison.Ordinal));

        Assert.True(code == 0, output + errors);
        Assert.StartsWith("1", await Ask(EndPointOf(supervisor, addresses[1])), StringComparison.Ordinal);
        Assert.Equal([], await crowd.Gone());
        Assert.Equal(0, await supervisor.Stop());
    }

    [TheoryWhenTool("python3")]
    [InlineData("tcp")]
    [InlineData("unix")]
    public async Task AServiceThatGoesBackServesAtItsOldAddressAgain(string kind)
    {
        string[] addresses = Addresses(kind);
        await using Supervisor supervisor = Supervisor.StartText(Web(addresses[0], "replace"));
        _ = await supervisor.Event("ready", "web");
        await using Crowd before = new(EndPointOf(supervisor, addresses[0]));
        await before.Answered(50);

        // The socket has another name, so that what the service goes back to is in the configuration no more.
        (int code, string output, _) = await supervisor.Change(Web(addresses[1], "replace")
            .Replace("http", "www", StringComparison.Ordinal).Replace("\"-c\"", "\"-c\", \"exit(7)\", \"-c\"", StringComparison.Ordinal));

        Assert.Equal(1, code);
        Assert.Contains("exited with 7 before it was ready; generation 1 serves on", output, StringComparison.Ordinal);
        Assert.Equal([], before.Lost);
        await using Crowd after = new(EndPointOf(supervisor, addresses[0]));
        await after.Answered(50);

        // And what it went back to is left in order as well.
        (code, output, string errors) = await supervisor.Change(Web(addresses[1], "replace"));
        Assert.True(code == 0, output + errors);
        Assert.Equal([], await before.Gone());
        Assert.Equal([], await after.Gone());
        Assert.Equal(0, await supervisor.Stop());
    }

    [TheoryWhenTool("python3")]
    [InlineData("tcp")]
    [InlineData("unix")]
    public async Task AnAddressToWhichTheFileComesBackWhileItIsLeftIsTheVerySocket(string kind)
    {
        string[] addresses = Addresses(kind);
        string slow = Web(addresses[0], "overlap")
            .Replace("[services.web]", "[services.web]\nstop_command = [\"sleep\", \"3\"]", StringComparison.Ordinal);
        await using Supervisor supervisor = Supervisor.StartText(slow);
        _ = await supervisor.Event("ready", "web");
        supervisor.Write(slow.Replace(addresses[0], addresses[1], StringComparison.Ordinal));
        Assert.Equal(0, (await supervisor.Verb("reload", "--no-wait")).Code);
        _ = await supervisor.Event("draining", "web");

        (int code, string output, string errors) = await supervisor.Change(slow);

        Assert.True(code == 0, output + errors);
        Assert.StartsWith("3", await Ask(EndPointOf(supervisor, addresses[0])), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    private static string Web(string address, string update) => $$"""
        [sockets.http]
        listen = "{{address}}"

        [services.web]
        command = ["python3", "-c", {{Server}}]
        sockets = ["http"]
        ready = "notify"
        update = "{{update}}"
        rollout = { prove = "200ms" }
        """;

    private static string[] Addresses(string kind) => kind switch
    {
        "tcp" => [$"tcp://127.0.0.1:{LoopbackPort.Free()}", $"tcp://127.0.0.1:{LoopbackPort.Free()}"],
        "unix" => ["unix:old.sock", "unix:new.sock"],
        _ => [$"unix:@launchd-old-{Environment.ProcessId}", $"unix:@launchd-new-{Environment.ProcessId}"],
    };

    private static EndPoint EndPointOf(Supervisor supervisor, string address) =>
        address.StartsWith("tcp://", StringComparison.Ordinal) ? IPEndPoint.Parse(address["tcp://".Length..])
        : address.StartsWith("unix:@", StringComparison.Ordinal) ? new UnixDomainSocketEndPoint("\0" + address["unix:@".Length..])
        : new UnixDomainSocketEndPoint(supervisor.Scratch.At(address["unix:".Length..]));

    private static async Task<string> Ask(EndPoint address)
    {
        using Socket client = new(address.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        using CancellationTokenSource deadline = new(Deadline.Generous);
        await client.ConnectAsync(address, deadline.Token);
        byte[] buffer = new byte[64];
        int got = await client.ReceiveAsync(buffer, deadline.Token);
        return got > 0 ? Encoding.UTF8.GetString(buffer, 0, got) : throw new IOException("closed without an answer");
    }

    /// <summary>Clients that connect again and again until nobody listens any more. Who could connect and got no answer is lost.</summary>
    private sealed class Crowd : IAsyncDisposable
    {
        private const int ClientCount = 12;

        private readonly CancellationTokenSource _done = new();
        private readonly ConcurrentQueue<string> _lost = new();
        private readonly Happenings<int> _answers = new();
        private readonly Task _all;
        private int _count;

        public Crowd(EndPoint address) =>
            _all = Task.WhenAll(Enumerable.Range(0, ClientCount).Select(_ => Task.Run(() => Come(address))));

        public int Count => Volatile.Read(ref _count);

        public IEnumerable<string> Lost => _lost;

        public Task<int> Answered(int count) => _answers.First(c => c >= count, $"{count} answers");

        /// <summary>When all have found the address gone: who was lost.</summary>
        public async Task<IEnumerable<string>> Gone()
        {
            _ = await Deadline.Await(_all.ContinueWith(_ => true, TaskScheduler.Default), "end of the address", () => $"{Count} answers");
            await _all;
            return _lost;
        }

        public async ValueTask DisposeAsync()
        {
            await _done.CancelAsync();
            await _all;
            _done.Dispose();
        }

        private async Task Come(EndPoint address)
        {
            byte[] buffer = new byte[64];
            while (!_done.IsCancellationRequested)
            {
                using Socket client = new(address.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
                try
                {
                    await client.ConnectAsync(address, _done.Token);
                }
                catch (SocketException gone) when (gone.SocketErrorCode is SocketError.ConnectionRefused or SocketError.AddressNotAvailable
                    or SocketError.WouldBlock || gone.NativeErrorCode == 2)
                {
                    // Nobody listens, or (an abstract name cannot be taken away) nobody new is let in.
                    return;
                }
                catch (OperationCanceledException)
                {
                    return;
                }
                await Read(client, buffer);
            }
        }

        private async Task Read(Socket client, byte[] buffer)
        {
            try
            {
                int got = await client.ReceiveAsync(buffer, _done.Token);
                if (got == 0)
                    _lost.Enqueue("closed without an answer");
                else
                    _answers.Add(Interlocked.Increment(ref _count));
            }
            catch (SocketException reset)
            {
                _lost.Enqueue(reset.SocketErrorCode.ToString());
            }
            catch (OperationCanceledException)
            {
                // The test is over.
            }
        }
    }
}
