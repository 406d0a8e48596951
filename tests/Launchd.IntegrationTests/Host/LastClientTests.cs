using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// Restarts of a server that closes, when it is told to end, whoever has connected and was not read yet, as most do. It accepts
/// whom it can at once and reads one after the other.
/// </summary>
public sealed class LastClientTests
{
    private const string Server = """
        import os, select, signal, socket, sys
        listener, number, how = socket.socket(fileno=3), int(sys.argv[1]), int(sys.argv[2])
        listener.setblocking(False)
        if number != 3:
            os.dup2(3, number)
        woken, wakes = os.pipe()
        os.set_blocking(wakes, False)
        signal.set_wakeup_fd(wakes)
        told = []
        signal.signal(signal.SIGTERM, lambda *_: told.append(1))
        waiting, clients = select.epoll(), {}
        waiting.register(number, select.EPOLLIN | how)
        waiting.register(woken, select.EPOLLIN)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
        while not told:
            for ready, _ in waiting.poll():
                if told:
                    break
                if ready == number:
                    try:
                        while True:
                            client, _ = listener.accept()
                            clients[client.fileno()] = client
                            waiting.register(client, select.EPOLLIN)
                    except BlockingIOError:
                        pass
                elif ready in clients:
                    client = clients.pop(ready)
                    client.recv(100)
                    client.sendall(os.environ["LAUNCHD_GENERATION"].encode())
                    client.close()
        os._exit(0)
        """;

    private const int Exclusive = 1 << 28;

    // Where the change is made, numbers up to 2 are those of the set and of the listener before it is put where it belongs.
    [TheoryWhenTool("python3")]
    [InlineData("tcp", "overlap", 3, "")]
    [InlineData("tcp", "overlap", 0, "")]
    [InlineData("tcp", "overlap", 1, "")]
    [InlineData("tcp", "overlap", 2, "")]
    [InlineData("tcp", "overlap", 20, "")]
    [InlineData("tcp", "replace", 3, "")]
    [InlineData("unix", "overlap", 3, "")]
    [InlineData("unix", "replace", 3, "")]
    [InlineData("tcp", "overlap", 3, "a shell's child")]
    [InlineData("tcp", "overlap", 3, "", Exclusive)]
    [InlineData("tcp", "replace", 20, "", Exclusive)]
    public async Task WhomTheOldOneAcceptedLastIsAnswered(string kind, string update, int number, string place, int how = 0)
    {
        string address = kind == "tcp" ? $"tcp://127.0.0.1:{LoopbackPort.Free()}" : "unix:web.sock";
        string command = place.Length == 0
            ? $"[\"python3\", \"server.py\", \"{number}\", \"{how}\"]"
            : $"[\"sh\", \"-c\", \"python3 server.py {number} {how}; exit\"]";
        await using Supervisor supervisor = Supervisor.StartText(
            $$"""
            [sockets.http]
            listen = "{{address}}"

            [services.web]
            command = {{command}}
            sockets = ["http"]
            ready = "notify"
            notify_access = "all"
            update = "{{update}}"
            rollout = { prove = "20ms" }
            """, scratch => File.WriteAllText(scratch.At("server.py"), Server));
        _ = await supervisor.Event("ready", "web");
        using Crowd crowd = new(
            kind == "tcp" ? IPEndPoint.Parse(address["tcp://".Length..]) : new UnixDomainSocketEndPoint(supervisor.Scratch.At("web.sock")));
        await crowd.AnsweredBy(1);

        for (int generation = 2; generation <= 4; generation++)
        {
            (int code, string output, string errors) = await supervisor.Verb("restart", "web");
            Assert.True(code == 0, output + errors);
            await crowd.AnsweredBy(generation);
        }

        Assert.Equal([], crowd.End());
        Assert.Equal(0, await supervisor.Stop());
    }

    // It takes everybody out of its queue in the round in which it is told to end, as asyncio does, and still answers those who had asked
    // before that round.
    private const string Greedy = """
        import os, select, signal, socket, sys
        listener = socket.socket(fileno=3)
        listener.setblocking(False)
        woken, wakes = os.pipe()
        os.set_blocking(wakes, False)
        signal.set_wakeup_fd(wakes)
        told = []
        signal.signal(signal.SIGTERM, lambda *_: told.append(1))
        waiting, clients = getattr(select, sys.argv[1])(), {}
        if not os.path.exists("go"):
            os.mkfifo("go")
        waiting.register(3, 1)
        waiting.register(woken, 1)
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
            notify.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
        while True:
            ready = waiting.poll()
            ends = bool(told)
            if any(n == 3 for n, _ in ready):
                try:
                    while True:
                        client, _ = listener.accept()
                        clients[client.fileno()] = client
                        waiting.register(client, 1)
                except BlockingIOError:
                    pass
            for number, _ in ready:
                client = clients.get(number)
                if client and client.recv(100) == b"busy":
                    client.sendall(b"busy")
                    open("go").read()
                elif client:
                    client.sendall(b"served")
                    waiting.unregister(number)
                    clients.pop(number).close()
            if ends:
                os._exit(0)
        """;

    [TheoryWhenTool("python3")]
    [InlineData("epoll", "stop")]
    [InlineData("epoll", "restart")]
    [InlineData("poll", "stop")]
    [InlineData("poll", "restart")]
    public async Task WhomABusyProgramHasInItsQueueIsAnswered_WhenItIsToldToEnd(string wait, string verb)
    {
        await using Supervisor supervisor = Supervisor.StartText(
            $$"""
            [sockets.http]
            listen = "tcp://127.0.0.1:0"

            [services.web]
            command = ["python3", "server.py", "{{wait}}"]
            sockets = ["http"]
            ready = "notify"
            """, scratch => File.WriteAllText(scratch.At("server.py"), Greedy));
        _ = await supervisor.Event("ready", "web");
        using Socket keeper = await Ask(supervisor, "busy");
        Assert.Equal("busy", Answer(keeper));
        List<Socket> queued = [];
        for (int i = 0; i < 5; i++)
            queued.Add(await Ask(supervisor, "?"));

        Task<(int Code, string Output, string Errors)> told = supervisor.Verb(verb, "web");
        _ = await supervisor.Event("draining", "web");
        await File.WriteAllTextAsync(supervisor.Scratch.At("go"), "");

        Assert.Equal(0, (await told).Code);
        if (verb == "stop")
            Assert.Equal(0, (await supervisor.Verb("start", "web")).Code);
        Assert.All(queued, q => Assert.Equal("served", Answer(q)));
        queued.ForEach(q => q.Dispose());
        Assert.Equal(0, await supervisor.Stop());
    }

    private static async Task<Socket> Ask(Supervisor supervisor, string what)
    {
        Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { ReceiveTimeout = 60_000 };
        await client.ConnectAsync(await supervisor.Address("http"));
        _ = client.Send(System.Text.Encoding.ASCII.GetBytes(what));
        return client;
    }

    private static string Answer(Socket client)
    {
        byte[] buffer = new byte[64];
        return System.Text.Encoding.ASCII.GetString(buffer, 0, client.Receive(buffer));
    }

    /// <summary>Clients with a thread each that connect, ask and are answered, again and again.</summary>
    private sealed class Crowd : IDisposable
    {
        private const int ClientCount = 4;

        private readonly ConcurrentQueue<string> _lost = new();
        private readonly Happenings<int> _generations = new();
        private readonly ConcurrentDictionary<int, bool> _known = new();
        private readonly Thread[] _clients;
        private volatile bool _isOver;

        public Crowd(EndPoint address)
        {
            _clients = [.. Enumerable.Range(0, ClientCount).Select(_ => new Thread(() => Come(address)))];
            foreach (Thread client in _clients)
                client.Start();
        }

        public Task<int> AnsweredBy(int generation) => _generations.First(g => g == generation, $"an answer of generation {generation}");

        /// <summary>Who was lost.</summary>
        public ConcurrentQueue<string> End()
        {
            _isOver = true;
            foreach (Thread client in _clients)
                client.Join();
            return _lost;
        }

        public void Dispose() => _ = End();

        private void Come(EndPoint address)
        {
            byte[] buffer = new byte[64];
            while (!_isOver)
            {
                using Socket client = new(address.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
                client.ReceiveTimeout = (int)Deadline.Generous.TotalMilliseconds;
                try
                {
                    client.Connect(address);
                    _ = client.Send("?"u8);
                    int got = client.Receive(buffer);
                    if (got == 0)
                    {
                        _lost.Enqueue("closed without an answer");
                    }
                    else if (int.Parse(System.Text.Encoding.ASCII.GetString(buffer, 0, got)) is var generation
                        && _known.TryAdd(generation, true))
                    {
                        _generations.Add(generation);
                    }
                }
                catch (SocketException refused)
                {
                    _lost.Enqueue(refused.SocketErrorCode.ToString());
                    return;
                }
            }
        }
    }
}
