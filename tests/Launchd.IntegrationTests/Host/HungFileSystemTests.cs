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

    // A birth that is alone is carried out by the thread that runs the loop. Of several that hang one after the other the first does so
    // there.
    [FactWhenRootAndTool("python3")]
    public async Task ABirthThatHangsOnTheLoopHoldsUpNobody()
    {
        using Scratch place = new();
        await using Supervisor supervisor = StartWithPrograms(place, "one", "two", "three");
        using Server server = new(place.At("hung.server"));
        using ControlSocket control = await ControlSocket.To(supervisor);
        int restarts = await LendLoop(supervisor, "good", 1);
        Happening kept = await supervisor.Event("ready", "keeper", await LendLoop(supervisor, "keeper", 1));
        int pid = await supervisor.Pid();

        foreach (string name in (string[])["one", "two", "three"])
        {
            await StartHung(supervisor, control, place, name);
            _ = await control.Call("Status");
            restarts = await Restart(supervisor, "good", restarts);
        }

        await control.Until(() => !IsLoopLent(pid), () => "lent");
        // The thread that gave birth to it lives, though another one runs the loop.
        Assert.True(Living.IsAlive(kept.Pid));
        await AssertEnds(supervisor, server);
        Assert.Empty(supervisor.Scratch.Processes());
    }

    [FactWhenRootAndTool("python3")]
    public async Task WhenTheBirthIsOverTheLoopIsLentAgain()
    {
        using Scratch place = new();
        await using Supervisor supervisor = StartWithPrograms(place, "one");
        using Server server = new(place.At("hung.server"));
        using ControlSocket control = await ControlSocket.To(supervisor);
        int restarts = await LendLoop(supervisor, "good", 1);
        int pid = await supervisor.Pid();
        await StartHung(supervisor, control, place, "one");
        await control.Until(() => !IsLoopLent(pid), () => "lent");

        server.Dispose();
        _ = await supervisor.Event("exec-failed", "one");

        restarts = await LendLoop(supervisor, "good", restarts);
        _ = await Restart(supervisor, "good", restarts);
        Assert.Equal(0, await supervisor.Stop());
    }

    private static Supervisor StartWithPrograms(Scratch place, params string[] names)
    {
        string script = place.Write("mount.py", Mount), hung = place.At("hung");
        string services = string.Concat(names.Select(n =>
            $"[services.{n}]\ncommand = [\"{hung}/{n}/x\"]\nstart = \"manual\"\nrestart = \"never\"\n"));
        return Supervisor.StartTextBy(
            ["unshare", "--mount", "--propagation", "private", "python3", script, hung, string.Join(',', names)],
            $$"""
            [defaults]
            backoff = { initial = "50ms", max = "50ms" }
            start_limit = { burst = 0 }
            [services.good]
            command = ["sleep", "2147483647"]
            restart = "always"
            [services.keeper]
            command = ["sleep", "2147483647"]
            restart = "always"
            parent_death_signal = "KILL"
            {{services}}
            """);
    }

    private static async Task StartHung(Supervisor supervisor, ControlSocket control, Scratch place, string name)
    {
        (int code, _, string errors) = await supervisor.Verb(["start", "--no-wait", name]);
        Assert.True(code == 0, errors);
        await control.Until(() => File.ReadLines(place.At("hung.asked")).Contains(name), () => "nobody has asked for " + name);
    }

    // Restarts a service until the loop is lent, and was before its last birth too. A birth that takes long, as on a busy machine, ends
    // that for ten seconds each time. Returns how often the service has been ready.
    private static async Task<int> LendLoop(Supervisor supervisor, string service, int restarts)
    {
        int pid = await supervisor.Pid();
        long end = Environment.TickCount64 + (3 * (long)Deadline.Generous.TotalMilliseconds);
        for (bool wasLent = false; ; wasLent = IsLoopLent(pid))
        {
            Assert.True(Environment.TickCount64 < end, "the loop is not lent");
            restarts = await Restart(supervisor, service, restarts);
            if (wasLent && IsLoopLent(pid))
                return restarts;
        }
    }

    private static async Task<int> Restart(Supervisor supervisor, string service, int restarts)
    {
        Living.Signal((await supervisor.Event("ready", service, restarts)).Pid, Living.SIGKILL);
        _ = await supervisor.Event("ready", service, restarts + 1);
        return restarts + 1;
    }

    // The first thread, which has lent the loop, waits in read(2) of its timer.
    private static bool IsLoopLent(int pid)
    {
        string[] call = File.ReadAllText($"/proc/{pid}/task/{pid}/syscall").Split(' ');
        return call[0] is "0" or "63"
            && new FileInfo($"/proc/{pid}/fd/{Convert.ToInt32(call[1], 16)}").LinkTarget == "anon_inode:[timerfd]";
    }

    // Threads that wait in the kernel keep the supervisor's process, whatever it does, until the file system answers; and children that
    // were to become programs keep themselves. The keeper waits for none of them.
    private static async Task AssertEnds(Supervisor supervisor, Server server)
    {
        int pid = await supervisor.Pid();
        Living.Signal(pid, Living.SIGTERM);
        _ = await supervisor.Errors.First(line => line.Contains("ended with code 0", StringComparison.Ordinal), "its last line");
        ProcessHandle?[] left = [.. supervisor.Scratch.Processes().Select(p => p.Pid).Append(pid).Select(p => ProcessHandle.TryOpen(p))];
        Assert.Equal(0, await supervisor.Exited());
        server.Dispose();
        foreach (ProcessHandle? process in left)
        {
            using (process)
            {
                if (process is not null)
                    Living.AwaitEnd(process);
            }
        }
        Assert.Equal(0, await supervisor.Ended());
    }

    /// <summary>With it everybody is answered who waits for the file system.</summary>
    private sealed class Server(string pidFile) : IDisposable
    {
        public void Dispose()
        {
            if (!File.Exists(pidFile))
                return;
            Living.Kill(int.Parse(File.ReadAllText(pidFile)));
            File.Delete(pidFile);
        }
    }
}
