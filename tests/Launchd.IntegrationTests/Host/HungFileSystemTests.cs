using System.Net;
using System.Net.Sockets;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Processes;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// A file system of a server that is gone: whoever asks it for anything waits until somebody ends it, deaf to every signal.
/// </summary>
public sealed class HungFileSystemTests
{
    // Mounts file systems in the folder of the first word, one for each name of the second, in the namespace that it is started in, and
    // becomes the program that follows. Their server answers that they are there, and then writes down who is asked for a name, and nothing
    // else. It is no child of what follows. There are several because in one the kernel asks for one thing after the other.
    private const string Mount = """
        import ctypes, os, select, struct, sys
        where, names, follows = os.path.abspath(sys.argv[1]), sys.argv[2].split(","), sys.argv[3:]
        libc = ctypes.CDLL(None, use_errno=True)
        devices, poll = {}, select.poll()
        for name in names:
            os.makedirs(where + "/" + name)
            device = os.open("/dev/fuse", os.O_RDWR)
            options = b"fd=%d,rootmode=40755,user_id=0,group_id=0,allow_other" % device
            if libc.mount(b"hung", (where + "/" + name).encode(), b"fuse", 0, options):
                sys.exit("mount: " + os.strerror(ctypes.get_errno()))
            devices[device] = name
            poll.register(device, select.POLLIN)
        if os.fork() == 0:
            if os.fork():
                os._exit(0)
            open(where + ".server", "w").write(str(os.getpid()))
            asked = open(where + ".asked", "w", buffering=1)
            for closed in range(3): os.close(closed)
            while True:
                for device, _ in poll.poll():
                    request = os.read(device, 1 << 20)
                    _, code, unique = struct.unpack_from("<IIQ", request)
                    if code == 26:
                        answer = struct.pack("<IIIIHHIIHHI7I", 7, 31, 65536, 0, 12, 9, 65536, 1, 0, 0, 0, *[0] * 7)
                        os.write(device, struct.pack("<IiQ", 16 + len(answer), 0, unique) + answer)
                    else:
                        asked.write(devices[device] + "\n")
        os.wait()
        for device in devices: os.close(device)
        os.execvp(follows[0], follows)
        """;

    [FactWhenRootAndTool("python3")]
    public async Task ItHoldsUpTheServicesThatNeedIt_AndNobodyElse()
    {
        using Scratch place = new();
        string script = place.Write("mount.py", Mount), hung = place.At("hung");
        (string Name, string Keys)[] kinds =
        [
            ("program", $"command = [\"{hung}/program/x\"]"),
            ("directory", $"command = [\"true\"]\nworking_directory = \"{hung}/directory/x\""),
            ("environment", $"command = [\"true\"]\nenvironment_files = [\"{hung}/environment/x\"]"),
            ("input", $"command = [\"true\"]\ninput = \"file:{hung}/input/x\""),
            ("output", $"command = [\"true\"]\noutput = \"file:{hung}/output/x\""),
            ("error", $"command = [\"true\"]\nerror = \"file:{hung}/error/x\""),
            ("log", $"command = [\"echo\", \"a line\"]\nlog = {{ path = \"{hung}/log/x\" }}"),
            ("file", "command = [\"true\"]\nfiles = [\"each\"]"),
            ("connection", "command = [\"true\"]\nfiles = [\"peer\"]"),
            ("command", $"command = [\"sleep\", \"2147483647\"]\nready = {{ command = [\"{hung}/command/x\"] }}"),
            ("probe", $"command = [\"sleep\", \"2147483647\"]\nready = {{ unix = \"{hung}/probe/x\" }}"),
        ];
        string services = string.Concat(kinds.Select(k => $"[services.{k.Name}]\nstart = \"manual\"\nrestart = \"never\"\n{k.Keys}\n"));
        await using Supervisor supervisor = Supervisor.StartTextBy(
            ["unshare", "--mount", "--propagation", "private", "python3", script, hung, string.Join(',', kinds.Select(k => k.Name))],
            $$"""
            [files.each]
            path = "{{hung}}/file/x"
            reopen = true
            [files.peer]
            connect = "unix:{{hung}}/connection/x"
            {{services}}
            [services.good]
            command = ["sleep", "2147483647"]
            restart = "always"
            """);
        using Server server = new(hung + ".server");
        Happening ready = await supervisor.Event("ready", "good");
        using ControlSocket control = await ControlSocket.To(supervisor);

        (int code, _, string errors) = await supervisor.Verb(["start", "--no-wait", .. kinds.Select(k => k.Name)]);
        Assert.True(code == 0, errors);
        string Missing() => string.Join(' ', kinds.Select(k => k.Name).Except(File.ReadLines(hung + ".asked")));
        await control.Until(() => Missing().Length == 0, () => "nobody has asked for " + Missing());

        Living.Signal(ready.Pid, Living.SIGKILL);
        _ = await supervisor.Event("ready", "good", nth: 2);
        _ = await control.Call("Status");
        await AssertEnds(supervisor, server);
    }

    [FactWhenRootAndTool("python3")]
    public async Task ClientsOfAProgramThatHangsAreSentAway()
    {
        using Scratch place = new();
        string script = place.Write("mount.py", Mount), hung = place.At("hung");
        await using Supervisor supervisor = Supervisor.StartTextBy(
            ["unshare", "--mount", "--propagation", "private", "python3", script, hung, "program"], $$"""
            [sockets.tcp]
            listen = "tcp://127.0.0.1:0"
            [services.app]
            command = ["{{hung}}/program/x"]
            sockets = ["tcp"]
            start = "connection"
            """);
        using Server server = new(hung + ".server");
        IPEndPoint address = await supervisor.Address("tcp");
        using TcpClient first = new();
        await first.ConnectAsync(address);
        _ = await supervisor.Event("exec-failed", "app");

        // The program hangs still, so this one's is not even begun.
        using TcpClient second = new();
        await second.ConnectAsync(address);
        int got = await second.GetStream().ReadAsync(new byte[1]).AsTask().WaitAsync(Deadline.Generous);

        Assert.Equal(0, got);
        await AssertEnds(supervisor, server);
    }

    // Threads that wait in the kernel keep the supervisor, whatever it does, until the file system answers; and children that were to
    // become programs keep themselves, so that the supervisor may be gone before they are.
    private static async Task AssertEnds(Supervisor supervisor, Server server)
    {
        int pid = await supervisor.Pid();
        Living.Signal(pid, Living.SIGTERM);
        _ = await supervisor.Errors.First(line => line.Contains("ended with code 0", StringComparison.Ordinal), "its last line");
        ProcessHandle?[] unborn = [.. supervisor.Scratch.Processes().Where(p => p.Pid != pid).Select(p => ProcessHandle.TryOpen(p.Pid))];
        server.Dispose();
        foreach (ProcessHandle? child in unborn)
        {
            using (child)
            {
                if (child is not null)
                    Living.AwaitEnd(child);
            }
        }
        Assert.Equal(0, await supervisor.Ended());
    }

    /// <summary>With it everybody is answered who waits for the file system.</summary>
    private sealed class Server(string pidFile) : IDisposable
    {
        public void Dispose()
        {
            if (File.Exists(pidFile))
                Living.Kill(int.Parse(File.ReadAllText(pidFile)));
        }
    }
}
