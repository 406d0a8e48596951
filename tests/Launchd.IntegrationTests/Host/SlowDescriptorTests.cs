using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// Descriptors that take as long to close, to look at or to open as whoever sent them likes: sockets that linger for a peer that does not
/// read, files of a file system that does not answer. The loop never waits for them, nobody else does, and neither does the end.
/// </summary>
[Collection(nameof(Supervisors))]
public sealed partial class SlowDescriptorTests
{
    /// <summary>Far below SO_LINGER and far above what a busy machine needs.</summary>
    private static readonly TimeSpan Prompt = TimeSpan.FromSeconds(20);

    private const string Two = """
        [services.app]
        command = ["python3", "app.py"]
        fd_store = 8
        ready = "spawned"
        share = { "*" = ["other"] }
        restart = "never"
        stop_timeout = "1s"

        [services.other]
        command = ["sleep", "2147483647"]
        request = ["app/*"]

        """;

    /// <summary>What every program begins with.</summary>
    private const string Preamble = """
        import array, ctypes, json, os, resource, signal, socket, struct, sys, threading
        channel = socket.socket(fileno=int(os.environ["LAUNCHD_CHANNEL"]))
        notifying = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        notifying.connect(os.environ["NOTIFY_SOCKET"])
        def rights(descriptors):
            return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        def send(method, parameters={}, descriptors=(), **more):
            message = {"method": "org.launchd-cs.Instance." + method, "parameters": parameters, **more}
            channel.sendmsg([json.dumps(message).encode()], rights(descriptors))
        def call(method, parameters={}, descriptors=(), **more):
            send(method, parameters, descriptors, **more)
            return json.loads(channel.recv(70000))
        def lingering(seconds=3600):
            one = socket.create_connection(("127.0.0.1", int(os.environ["PEER"])))
            one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
            one.setblocking(False)
            try:
                while True: one.send(bytes(65536))
            except BlockingIOError:
                pass
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, seconds))
            return one
        class stuck_pipe(list):
            # Reading ends of one pipe whose lock is held for ever: by a thread that moves into it what never comes.
            def __init__(self, count):
                reading, self.writing = os.pipe()
                super().__init__(os.fdopen(os.open("/proc/self/fd/%d" % reading, os.O_RDONLY | os.O_NONBLOCK), "rb", 0)
                    for _ in range(count))
                self.source, self.silent = socket.socketpair()
                mover = threading.Thread(target=lambda: os.splice(self.source.fileno(), self.writing, 4096), daemon=True)
                mover.start()
                # A number there, not "running": it waits in the kernel.
                while open("/proc/self/task/%d/syscall" % mover.native_id).read().split()[0] not in ("275", "76"): pass
        supervisor = os.getppid()
        def all_at_once(*messages):
            # While the supervisor does not look: so it is the last that has the descriptors, and they end when it closes them.
            os.kill(supervisor, signal.SIGSTOP)
            for to, bytes, descriptors in messages:
                to.sendmsg([bytes], rights([one.fileno() for one in descriptors]))
            for _, _, descriptors in messages:
                for one in descriptors: one.close()
            os.kill(supervisor, signal.SIGCONT)
        resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))


        """;

    /// <summary>A file system that answers until the first of its files is open, and then nobody and nothing any more.</summary>
    private const string Silent = """
        libc = ctypes.CDLL(None, use_errno=True)
        def serve(device):
            isOpen = False
            while True:
                request = os.read(device, 1 << 17)
                _, code, unique, node = struct.unpack_from("<IIQQ", request)
                mode = lambda of: 0o40755 if of == 1 else 0o100644
                attributes = lambda of: struct.pack("<6Q10I", of, 0, 0, 0, 0, 0, 0, 0, 0, mode(of), 1, 0, 0, 0, 4096, 0)
                if code == 26: answer = struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, 0, 12, 9, 65536, 1, 0, 0, 0, *[0] * 7)
                elif isOpen: continue
                elif code == 1: answer = struct.pack("<QQQQII", 2, 0, 0, 0, 0, 0) + attributes(2)
                elif code == 3: answer = struct.pack("<QII", 0, 0, 0) + attributes(node)
                elif code == 14: answer = struct.pack("<QII", 7, 0, 0); isOpen = True
                else: continue
                os.write(device, struct.pack("<IiQ", 16 + len(answer), 0, unique) + answer)
        def silent_file():
            where = os.path.abspath("mounted").encode()
            os.mkdir(where)
            device = os.open("/dev/fuse", os.O_RDWR)
            if libc.mount(b"silent", where, b"fuse", 0, b"fd=%d,rootmode=40000,user_id=0,group_id=0" % device):
                raise OSError(ctypes.get_errno(), "mount")
            if os.fork() == 0:
                channel.close()
                serve(device)
            os.close(device)
            file = os.open(where + b"/file", os.O_RDWR)
            libc.umount2(where, 2)
            return file

        """;

    [FactWhenRootAndTool("python3")]
    public async Task WhateverLingers_TheLoopDoesNot()
    {
        using Peer peer = new();
        await using Supervisor supervisor = Start(peer, """
            describe = b'{"method":"org.launchd-cs.Instance.Describe"}'
            one = lingering(); print(call("Store", {"name": "x"}, [one.fileno()])); one.close(); print(call("Unstore", {"name": "x"}))
            near, far = socket.socketpair()
            near.sendmsg([b"x"], rights([(inner := lingering()).fileno()])); near.close()
            all_at_once(
                (channel, describe, [lingering()]), (channel, b"nonsense", [lingering()]), (channel, bytes(65537), [lingering()]),
                (notifying, b"STATUS=x", [lingering()]), (notifying, b"nonsense", [lingering()]), (notifying, bytes(5000), [lingering()]),
                (channel, describe, [far, inner]))
            for _ in range(4): print(channel.recv(9999))
            print("told", flush=True)
            channel.recv(1)
            """);

        await Line(supervisor, "told");
        using ControlSocket control = await ControlSocket.To(supervisor);
        await AssertPrompt(control);
        // What is closed is in no table any more, though the kernel may wait for the peer inside.
        int pid = await supervisor.Pid();
        await control.Until(() => !HasConnection(pid, peer), () => "a connection of the program is open");
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRootAndTool("python3")]
    public async Task AThousandOfThemAreAFewThreads_AndTheirServiceIsStillHeard()
    {
        using Peer peer = new();
        await using Supervisor supervisor = Start(peer, """
            oneway = b'{"method":"org.launchd-cs.Instance.Describe","oneway":true}'
            for _ in range(10): all_at_once(*[(channel, oneway, [lingering() for _ in range(10)]) for _ in range(10)])
            print(call("Describe"), "heard", flush=True)
            channel.recv(1)
            """);
        int pid = await supervisor.Pid();
        // A birth that takes long begins another thread.
        foreach (string service in (string[])["app", "other"])
            _ = await supervisor.Event("spawned", service);
        using ControlSocket control = await ControlSocket.To(supervisor);
        int threads = ThreadCount(pid);

        await Line(supervisor, "heard");

        await AssertPrompt(control);
        await control.Until(() => !HasConnection(pid, peer), () => "a connection of the program is open");
        // Those that look at descriptors end when they have.
        await control.Until(() => ThreadCount(pid) <= threads + 4, () => $"{ThreadCount(pid)} threads, and {threads} before");
        Assert.DoesNotContain("channel-closed", (await supervisor.Verb("events")).Output, StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRootAndTool("python3")]
    public async Task TheEndDoesNotWaitForWhatIsStoredOrUnread()
    {
        using Peer peer = new();
        await using Supervisor supervisor = Start(peer, """
            describe = b'{"method":"org.launchd-cs.Instance.Describe"}'
            one = lingering(); print(call("Store", {"name": "x"}, [one.fileno()])); one.close()
            # it does not read its answers, so it is cut off before the supervisor comes to the last of these
            all_at_once(*[(channel, describe, [lingering()] if i >= 190 else []) for i in range(200)])
            print("done", flush=True)
            signal.pause()
            """, "fd_store_keep = \"always\"\n");
        await Line(supervisor, "done");
        long before = Stopwatch.GetTimestamp();

        Assert.Equal(0, await supervisor.Stop());

        Assert.InRange(Stopwatch.GetElapsedTime(before), TimeSpan.Zero, Prompt);
    }

    [FactWhenFuse]
    public async Task AFileSystemThatDoesNotAnswer_IsNotAsked()
    {
        await using Supervisor supervisor = Start(null, Silent + """
            file = silent_file()
            print(call("Store", {"name": "file"}, [file]), call("Publish", {"name": "file", "number": file}))
            print(call("Get", {"names": ["file"]}))
            notifying.sendmsg([b"FDSTORE=1\nFDNAME=again"], rights([file]))
            print(call("Unstore", {"name": "file"}), "told", flush=True)
            channel.recv(1)
            """);
        await Line(supervisor, "told");
        using ControlSocket control = await ControlSocket.To(supervisor);
        await AssertPrompt(control);
        Assert.Contains(await Descriptors(control),
            d => d.GetProperty("kind").GetString() == "file" && d.GetProperty("origin").GetString() == "sibling");
        using ChannelPeer other = await ChannelPeer.Of(supervisor, "other");

        other.Send(ChannelPeer.Request("Request", """{"service":"app","name":"file"}"""));
        (string text, FileDescriptor[] taken) = other.Read();
        Assert.Contains("\"way\":\"taken\"", text, StringComparison.Ordinal);
        other.Send(ChannelPeer.Request("Request", """{"service":"app","name":"file","mode":"reopen"}"""));
        await AssertPrompt(control);
        Assert.Equal(
            """{"error":"org.launchd-cs.Instance.NotPermittedByKernel","parameters":{"call":"open","errno":"ETIMEDOUT","""
            + "\"cause\":\"its file system has not answered within 5 s\"}}",
            other.ReadText());
        Assert.Equal(0, await supervisor.Stop());
        // Not before the file system is gone: this process would wait for its answer as well.
        Assert.Single(taken).Dispose();
    }

    [FactWhenFuse]
    public async Task WhoseDescriptorsNeverClose_IsNoMoreRead_AndToldWhy()
    {
        await using Supervisor supervisor = Start(null, Silent + """
            file = silent_file()
            try:
                while True: send("Describe", {}, [file] * 100, oneway=True)
            except BrokenPipeError:
                print("cut off", flush=True)
            notifying.setblocking(False)
            try:
                while True: notifying.sendmsg([b"STATUS=x"], rights([file] * 100))
            except BlockingIOError:
                print("not read", flush=True)
            signal.pause()
            """);
        using ChannelPeer other = await ChannelPeer.Of(supervisor, "other");
        _ = other.Call("Describe");
        int pid = await supervisor.Pid();

        Happening closed = await supervisor.Event("channel-closed", "app");

        Assert.Contains("wait to be closed", closed.Text("reason"), StringComparison.Ordinal);
        await Line(supervisor, "not read");
        Assert.Contains("\"service\":\"other\"", other.Call("Describe"), StringComparison.Ordinal);
        // As many as may wait, and those of one more message from each of its two sockets. Not counted in /proc/PID/fd: to look at a link
        // there is to ask the file system.
        Assert.InRange(Directory.GetFiles($"/proc/{pid}/fdinfo").Length, 256, 256 + (2 * 253) + 100);
        Assert.Equal(0, await supervisor.Stop());
    }

    private static Supervisor Start(Peer? peer, string program, string more = "", string sockets = "")
    {
        string text = $"import os\nos.environ['PEER'] = '{peer?.Port}'\n" + Preamble + program;
        string command = $"[\"python3\", \"-c\", {JsonSerializer.Serialize(text)}]";
        return Supervisor.StartText(sockets + Two.Replace("[\"python3\", \"app.py\"]", command, StringComparison.Ordinal)
            .Replace("$", "$$", StringComparison.Ordinal)
            .Replace("restart = \"never\"\n", "restart = \"never\"\n" + more, StringComparison.Ordinal));
    }

    private static Task<string> Line(Supervisor supervisor, string text) =>
        supervisor.Output.First(l => l.Contains(text, StringComparison.Ordinal), text);

    private static async Task AssertPrompt(ControlSocket control)
    {
        long before = Stopwatch.GetTimestamp();
        _ = await control.Call("Status");
        _ = await Descriptors(control);
        Assert.InRange(Stopwatch.GetElapsedTime(before), TimeSpan.Zero, Prompt);
    }

    private static async Task<JsonElement[]> Descriptors(ControlSocket control) =>
        [.. (await control.Call("Descriptors")).GetProperty("descriptors").EnumerateArray()];

    private static int ThreadCount(int pid) => Directory.GetDirectories($"/proc/{pid}/task").Length;

    // The kernel's list is read once: for a thousand descriptors it has as many lines.
    private static bool HasConnection(int pid, Peer peer)
    {
        HashSet<string> ends = peer.FarEnds();
        return Directory.GetFiles($"/proc/{pid}/fd").Any(f => new FileInfo(f).LinkTarget is { } target && ends.Contains(target));
    }

    /// <summary>Takes connections and never reads from them.</summary>
    private sealed class Peer : IDisposable
    {
        private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);

        public Peer()
        {
            _listener.ReceiveBufferSize = 4096;
            _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
            _listener.Listen(4096);
        }

        public int Port => ((IPEndPoint)_listener.LocalEndPoint!).Port;

        /// <summary>All connections to this listener, as <c>socket:[INODE]</c>.</summary>
        public HashSet<string> FarEnds()
        {
            string port = $":{Port:X4}";
            return [.. File.ReadLines("/proc/net/tcp").Skip(1).Select(l => l.Split(' ', StringSplitOptions.RemoveEmptyEntries))
                .Where(f => f[2].EndsWith(port, StringComparison.Ordinal)).Select(f => $"socket:[{f[9]}]")];
        }

        public void Dispose() => _listener.Dispose();
    }
}

/// <summary>A test with a file system of its own; skipped with the reason where it cannot be made.</summary>
public sealed class FactWhenFuseAttribute : FactAttribute
{
    public FactWhenFuseAttribute()
    {
        Skip = new FactWhenRootAndToolAttribute("python3").Skip ?? (File.Exists("/dev/fuse") ? null : "needs /dev/fuse");
    }
}
