using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Launchd.Addresses;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Listening;
using Launchd.Linux.Processes;
using Xunit;
using SocketAddress = Launchd.Linux.Sockets.SocketAddress;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// A service manager with a store of descriptors, played by Python: it starts the supervisor, keeps what comes by FDSTORE=1, and passes it
/// to the next one, as systemd does.
/// </summary>
public sealed class ManagerStoreTests
{
    private const string Manager = """
        import os, signal, socket, sys
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        s.bind("notify")
        store = []
        def start():
            pid = os.fork()
            if pid:
                return pid
            signal.pthread_sigmask(signal.SIG_SETMASK, [])
            fds = [os.dup(fd) for _, fd in store]
            high = [__import__("fcntl").fcntl(fd, 0, 200) for fd in fds]
            for i, fd in enumerate(high):
                os.dup2(fd, 3 + i)
            os.closerange(3 + len(high), 1000)
            os.environ.update(NOTIFY_SOCKET=os.path.abspath("notify"), FDSTORE="16")
            if store:
                os.environ.update(LISTEN_FDS=str(len(store)), LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES=":".join(n for n, _ in store))
            os.execvp(sys.argv[1], sys.argv[1:])
        def hear(until):
            while True:
                data, fds, _, _ = socket.recv_fds(s, 4096, 1)
                said = dict(l.split("=", 1) for l in data.decode().split("\n"))
                if "FDSTOREREMOVE" in said:
                    for gone in [e for e in store if e[0] == said["FDNAME"]]:
                        store.remove(gone)
                        os.close(gone[1])
                if "BARRIER" in said:
                    os.close(fds[0])
                if "FDSTORE" in said:
                    store.append((said["FDNAME"], fds[0]))
                if until in said:
                    return
        pid = start()
        os.mkfifo("words")
        os.write(1, b"begun\n")
        for word in open("words"):
            word = word.strip()
            if word == "ready":
                hear("READY")
            elif word == "reloaded":
                hear("RELOADING"); hear("READY")
            elif word == "end":
                os.waitpid(pid, 0)
            elif word in ("KILL", "TERM", "HUP"):
                os.kill(pid, getattr(signal, "SIG" + word))
                if word != "HUP":
                    os.waitpid(pid, 0)
            elif word == "start":
                pid = start()
            # In one piece: the supervisor writes to the same pipe.
            os.write(1, (word + ": " + " ".join(sorted(n for n, _ in store)) + "\n").encode())
        """;

    // What the last supervisor left is ended with it, as a manager does; the client is in the queue before the next one runs.
    [TheoryWhenTool("python3")]
    [InlineData("KILL")]
    [InlineData("TERM")]
    public async Task TheNextSupervisorServesTheClientsInTheQueues(string how)
    {
        int port = LoopbackPort.Free();
        await using Managed managed = await Managed.Start($$"""
            [sockets.fixed]
            listen = "tcp://127.0.0.1:{{port}}"
            [sockets.any]
            listen = ["tcp://127.0.0.1:0", "unix:web.sock"]
            [services.web]
            command = ["python3", "-u", "-c", '''
            import os, select, socket
            fds = [socket.socket(fileno=3 + i) for i in range(3)]
            while True:
                for s in select.select(fds, [], [])[0]:
                    c, _ = s.accept(); c.recv(100); c.sendall(str(os.getppid()).encode()); c.close()
            ''']
            sockets = ["fixed", "any"]
            """);
        Assert.Equal("ready: launchd-cs.any.0.0 launchd-cs.any.1.0 launchd-cs.fixed.0.0", await managed.Do("ready"));
        IPEndPoint any = await managed.AddressOf("any");
        UnixDomainSocketEndPoint path = new(managed.Folder.At("web.sock"));
        EndPoint[] places = [new IPEndPoint(IPAddress.Loopback, port), any, path];
        string first = await Answer(await Connect(any));

        _ = await managed.Do(how);
        Socket[] waiting = await Task.WhenAll(places.Select(Connect));
        _ = await managed.Do("start");

        string[] answers = await Task.WhenAll(waiting.Select(Answer));
        Assert.Single(answers.Distinct());
        Assert.NotEqual(first, answers[0]);
        Assert.Equal("ready: launchd-cs.any.0.0 launchd-cs.any.1.0 launchd-cs.fixed.0.0", await managed.Do("ready"));
        Assert.Equal(any, await managed.AddressOf("any"));
        Assert.Equal(answers[0], await Answer(await Connect(path)));
    }

    [FactWhenTool("python3")]
    public async Task TheStoreFollowsAReload_AndIsEmptiedOfWhatTheNextConfigurationHasNot()
    {
        await using Managed managed = await Managed.Start("""
            sockets.one.listen = "unix:one.sock"
            sockets.two.listen = "unix:two.sock"
            """);
        Assert.Equal("ready: launchd-cs.one.0.0 launchd-cs.two.0.0", await managed.Do("ready"));
        managed.Write("sockets.uno.listen = \"unix:one.sock\"\nsockets.three.listen = \"unix:three.sock\"\n");
        _ = await managed.Do("HUP");
        _ = await managed.Do("reloaded");
        // A turn of the loop later, and before what is said next.
        _ = await managed.Do("HUP");
        Assert.Equal("reloaded: launchd-cs.three.0.0 launchd-cs.uno.0.0", await managed.Do("reloaded"));

        _ = await managed.Do("KILL");
        managed.Write("sockets.three.listen = \"unix:three.sock\"\n");
        using Socket waiting = await Connect(new UnixDomainSocketEndPoint(managed.Folder.At("three.sock")));
        _ = await managed.Do("start");
        Assert.Equal("ready: launchd-cs.three.0.0", await managed.Do("ready"));
        _ = await Assert.ThrowsAsync<SocketException>(() => Connect(new UnixDomainSocketEndPoint(managed.Folder.At("one.sock"))));
    }

    // The manager has a copy of what is not adopted, which would be in the way.
    [FactWhenTool("python3")]
    public async Task AListenerOfAnotherKindAtTheSamePlaceIsOpenedAnew()
    {
        int port = LoopbackPort.Free();
        await using Managed managed = await Managed.Start(
            $"sockets.tcp.listen = \"tcp://127.0.0.1:{port}\"\nsockets.unix.listen = \"unix:a.sock\"\n");
        _ = await managed.Do("ready");
        _ = await managed.Do("KILL");
        managed.Write($"""
            [sockets.tcp]
            listen = "tcp://127.0.0.1:{port}"
            bind_to_device = "lo"
            [sockets.unix]
            listen = "unix-seqpacket:a.sock"
            """);
        _ = await managed.Do("start");
        Assert.Equal("ready: launchd-cs.tcp.0.0 launchd-cs.unix.0.0", await managed.Do("ready"));
        (await Connect(new IPEndPoint(IPAddress.Loopback, port))).Dispose();
        using Socket client = new(AddressFamily.Unix, SocketType.Seqpacket, ProtocolType.Unspecified);
        await client.ConnectAsync(new UnixDomainSocketEndPoint(managed.Folder.At("a.sock")));
    }

    [FactWhenTool("python3")]
    public async Task AStartThatIsRefusedCostsNoClient()
    {
        const string Good = """
            [sockets.each]
            listen = "unix:each.sock"
            [services.each]
            command = ["/bin/cat"]
            sockets = ["each"]
            start = "connection"
            input = "socket"
            output = "socket"
            """;
        await using Managed managed = await Managed.Start(Good);
        _ = await managed.Do("ready");
        _ = await managed.Do("KILL");
        Task<string> answer = Supervisor.Ask(managed.Folder.At("each.sock"), "patient");
        managed.Write(Good + "\n[sockets.wrong]\nlisten = \"unix:config.toml/a.sock\"\n");
        _ = await managed.Do("start");
        _ = await managed.Do("end");
        managed.Write(Good);
        _ = await managed.Do("start");
        Assert.Equal("patient", await answer);
        Assert.Equal("ready: launchd-cs.each.0.0", await managed.Do("ready"));
    }

    [Fact]
    public async Task OnlyWhatFitsIsAdopted()
    {
        using Scratch folder = new();
        ListenerRequest request = new() { Endpoints = [] };
        ListenAddress.Unix unix = new(UnixSocketKind.Stream, folder.At("a.sock"), IsAbstract: false);
        using FileDescriptor tcp = ListenerOpener.OpenOne(new ListenAddress.Tcp(IPAddress.Loopback, 0), request).Value.Descriptor;
        using FileDescriptor udp = ListenerOpener.OpenOne(new ListenAddress.Udp(IPAddress.Loopback, 0), request).Value.Descriptor;
        using FileDescriptor path = ListenerOpener.OpenOne(unix, request).Value.Descriptor;
        using FileDescriptor nothing = FileDescriptor.CreateMemory("no socket", 0);
        int port = SocketAddress.OfSocket(tcp)!.Port;

        Assert.Null(ListenerAdoption.TryAdopt(nothing, new ListenAddress.Tcp(IPAddress.Loopback, 0), request));
        Assert.Null(ListenerAdoption.TryAdopt(udp, new ListenAddress.Tcp(IPAddress.Loopback, 0), request));
        Assert.Null(ListenerAdoption.TryAdopt(tcp, new ListenAddress.Tcp(IPAddress.Loopback, port == 65535 ? 1 : port + 1), request));
        Assert.Null(ListenerAdoption.TryAdopt(tcp, new ListenAddress.Tcp(IPAddress.Any, port), request));
        Assert.Null(ListenerAdoption.TryAdopt(path, unix with { Name = folder.At("b.sock") }, request));
        Assert.Null(ListenerAdoption.TryAdopt(path, unix with { Kind = UnixSocketKind.SeqPacket }, request));
        OpenedListener adopted = ListenerAdoption.TryAdopt(path, unix, request with { Mode = 0b110_000_000 })!;
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(folder.At("a.sock")));
        Assert.Equal(RemoveOutcome.Removed, UnixPath.RemoveIfOurs(adopted.Path!, out _));
        // Another's socket has the path.
        using FileDescriptor other = ListenerOpener.OpenOne(unix, request).Value.Descriptor;
        Assert.Null(ListenerAdoption.TryAdopt(path, unix, request));
        adopted = ListenerAdoption.TryAdopt(tcp, new ListenAddress.Tcp(IPAddress.Loopback, 0), request)!;
        Assert.Equal($"tcp://127.0.0.1:{port}", adopted.Address);
        // Shut down: TCP can listen again.
        using (Socket same = new(new SafeSocketHandle(tcp.Number, ownsHandle: false)))
            same.Shutdown(SocketShutdown.Receive);
        Assert.NotNull(ListenerAdoption.TryAdopt(tcp, new ListenAddress.Tcp(IPAddress.Loopback, port), request));
        await Connect(new IPEndPoint(IPAddress.Loopback, port));
        // Whoever else has a copy of one that is discarded is not in the way.
        using FileDescriptor copy = tcp.Duplicate();
        ListenerAdoption.Discard(tcp);
        ListenerOpener.OpenOne(new ListenAddress.Tcp(IPAddress.Loopback, port), request).Value.Descriptor.Dispose();
    }

    private static async Task<Socket> Connect(EndPoint there)
    {
        Socket client = new(there.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        await client.ConnectAsync(there);
        return client;
    }

    private static async Task<string> Answer(Socket client)
    {
        using Socket socket = client;
        using CancellationTokenSource deadline = new(Deadline.Generous);
        byte[] answer = new byte[100];
        await socket.SendAsync("?"u8.ToArray(), deadline.Token);
        return System.Text.Encoding.UTF8.GetString(answer, 0, await socket.ReceiveAsync(answer, deadline.Token));
    }

    /// <summary>The manager with its supervisor, in a folder of its own.</summary>
    private sealed class Managed : IAsyncDisposable
    {
        private readonly Command _manager;
        private readonly StreamWriter _words;

        private Managed(Scratch folder, Command manager)
        {
            (Folder, _manager) = (folder, manager);
            _words = new StreamWriter(folder.At("words")) { AutoFlush = true };
        }

        public Scratch Folder { get; }

        public static async Task<Managed> Start(string text)
        {
            Scratch folder = new();
            string file = folder.Write("config.toml", Supervisor.WithRuntimeDirectory(text));
            Command manager = Command.Start(["python3", "-u", "-c", Manager, .. Repository.LaunchdCommand, "run", file], folder.FolderPath);
            _ = await manager.Output.First(l => l == "begun", "the manager");
            return new Managed(folder, manager);
        }

        /// <summary>Says a word to the manager, and returns what is in its store when it has done it.</summary>
        public async Task<string> Do(string word)
        {
            int nth = _manager.Output.All().Count(IsAnswer) + 1;
            await _words.WriteLineAsync(word);
            string answer = (await _manager.Output.First(IsAnswer, word, nth)).TrimEnd(' ', ':');
            // As a manager does: what the main process has left is ended with it.
            if (word == "KILL")
                End(except: _manager.Pid);
            return answer;

            bool IsAnswer(string line) => line.StartsWith(word + ": ", StringComparison.Ordinal);
        }

        public void Write(string text) => Folder.Write("config.toml", Supervisor.WithRuntimeDirectory(text));

        public async Task<IPEndPoint> AddressOf(string socket)
        {
            await using Command command = Command.Launchd(["status", "--json"], Folder.FolderPath,
                new Dictionary<string, string> { ["LAUNCHD_RUNTIME_DIRECTORY"] = Folder.At("run") });
            Assert.True(await command.Exit() == 0, command.Errors.ToString());
            using JsonDocument status = JsonDocument.Parse(command.Output.ToString());
            string address = status.RootElement.GetProperty("sockets").EnumerateArray()
                .Where(s => s.GetProperty("socket").GetString() == socket).Select(s => s.GetProperty("address").GetString()!)
                .First(a => a.StartsWith("tcp://", StringComparison.Ordinal));
            return IPEndPoint.Parse(address["tcp://".Length..]);
        }

        public async ValueTask DisposeAsync()
        {
            await _words.DisposeAsync();
            await _manager.DisposeAsync();
            End(except: 0);
            Folder.Dispose();
        }

        private void End(int except)
        {
            foreach ((int pid, _) in Folder.Processes().Where(p => p.Pid != except))
            {
                // One of them may end with another.
                using ProcessHandle? process = ProcessHandle.TryOpen(pid);
                if (process?.Signal(Living.SIGKILL) == Errno.None)
                    Living.AwaitEnd(process);
            }
        }
    }
}
