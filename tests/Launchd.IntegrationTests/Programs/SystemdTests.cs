using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Host;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Programs;

/// <summary>The supervisor as a service of systemd, by the unit file of this project.</summary>
public sealed class SystemdTests
{
    [FactWhenSystemd]
    public async Task ARestart_AndAnEndBySigkill_CostNoConnection()
    {
        await using Machine machine = await Machine.Start();
        EndPoint[] places = [new IPEndPoint(IPAddress.Loopback, machine.Port), new UnixDomainSocketEndPoint(machine.Folder.At("web.sock"))];
        string first = await Ask(places[0]);
        Assert.Equal(first, await Ask(places[1]));
        Assert.Contains("Status: \"1 of 1 service up\"", await machine.Control("status", "launchd-cs"), StringComparison.Ordinal);

        // With its program, which systemd would kill as well: a client that this had accepted would be lost.
        string pid = (await machine.Control("show", "-p", "MainPID", "--value", "launchd-cs")).Trim();
        await machine.Enter("/bin/sh", "-c", $"kill -9 {pid} {first}");
        string[] killed = await Task.WhenAll(places.Select(Ask));
        Assert.Single(killed.Distinct());
        Assert.NotEqual(first, killed[0]);

        Task restart = machine.Control("restart", "launchd-cs");
        while (!restart.IsCompleted)
            _ = await Task.WhenAll(places.Select(Ask));
        await restart;
        string restarted = await Ask(places[1]);
        Assert.NotEqual(killed[0], restarted);

        File.AppendAllText(machine.Folder.At("launchd.toml"), "\n[services.more]\ncommand = [\"sleep\", \"2147483647\"]\n");
        _ = await machine.Control("reload", "launchd-cs");
        // Before systemd 253, a reload is over for systemctl when the signal was sent.
        long end = Environment.TickCount64 + (long)Deadline.Generous.TotalMilliseconds;
        while (!(await machine.Enter("cat", machine.Folder.At("log"))).Contains("'more.0'", StringComparison.Ordinal))
            Assert.True(Environment.TickCount64 < end, "not reloaded");
        Assert.Equal(restarted, await Ask(places[0]));
        _ = await machine.Control("stop", "launchd-cs");
        Assert.Equal("inactive", (await machine.Control("show", "-p", "ActiveState", "--value", "launchd-cs")).Trim());
    }

    private static async Task<string> Ask(EndPoint place)
    {
        using Socket client = new(place.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        using CancellationTokenSource deadline = new(Deadline.Generous);
        await client.ConnectAsync(place, deadline.Token);
        byte[] answer = new byte[100];
        await client.SendAsync("?"u8.ToArray(), deadline.Token);
        string text = Encoding.UTF8.GetString(answer, 0, await client.ReceiveAsync(answer, deadline.Token));
        Assert.NotEqual("", text);
        return text;
    }

    /// <summary>
    /// systemd as the first process of namespaces of its own, with nothing but our unit. Ends with everything in it when it is disposed.
    /// </summary>
    private sealed class Machine : IAsyncDisposable
    {
        private const string Inner = """
            umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && mount -t tmpfs -o mode=755 tmpfs /run || exit 1
            mkdir -p /run/systemd /run/lock
            mount --bind /proc/sys /proc/sys && mount -o remount,bind,ro /proc/sys
            exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin SYSTEMD_UNIT_PATH="$1" SYSTEMD_GENERATOR_PATH="$1/none" \
              /lib/systemd/systemd --system --unit=test.target --log-target=console --log-level=warning --show-status=no
            """;

        private readonly string _cgroup;
        private readonly Command _outer;

        private Machine(Scratch folder, string cgroup, Command outer, int port) =>
            (Folder, _cgroup, _outer, Port) = (folder, cgroup, outer, port);

        public Scratch Folder { get; }

        public int Port { get; }

        public static async Task<Machine> Start()
        {
            Scratch folder = new();
            int port = LoopbackPort.Free();
            string configuration = folder.Write("launchd.toml", Supervisor.WithRuntimeDirectory($$"""
                [sockets.web]
                listen = ["tcp://127.0.0.1:{{port}}", "unix:web.sock"]
                [services.web]
                command = ["python3", "-u", "-c", '''
                import os, select, signal, socket
                fds = [socket.socket(fileno=3 + i) for i in range(2)]
                told, tell = os.pipe()
                os.set_blocking(tell, False)
                signal.set_wakeup_fd(tell)
                signal.signal(signal.SIGTERM, lambda *_: None)
                while True:
                    ready = select.select([told, *fds], [], [])[0]
                    if told in ready:
                        break
                    for s in ready:
                        c, _ = s.accept(); c.recv(100); c.sendall(str(os.getpid()).encode()); c.close()
                ''']
                sockets = ["web"]
                """));
            string units = folder.At("units");
            Directory.CreateDirectory(units + "/launchd-cs.service.d");
            File.Copy(Path.Combine(Repository.Root, "packaging", "launchd-cs.service"), units + "/launchd-cs.service");
            // What its comments say for an older systemd.
            string old = FactWhenSystemdAttribute.Version >= 254 ? ""
                : "Type=notify\nExecReload=/bin/kill -HUP $MAINPID\nEnvironment=FDSTORE=4096\n";
            File.WriteAllText(units + "/launchd-cs.service.d/here.conf",
                "[Unit]\nDefaultDependencies=no\n[Service]\n" + old
                + $"StandardOutput=append:{folder.At("log")}\nStandardError=append:{folder.At("log")}\n"
                + $"ExecStart=\nExecStart={string.Join(' ', Repository.LaunchdCommand)} run {configuration}\n");
            File.WriteAllText(units + "/test.target", "[Unit]\nDefaultDependencies=no\n");
            string cgroup = $"{FactWhenSystemdAttribute.CgroupRoot}/launchd-cs-test-{Environment.ProcessId}";
            Directory.CreateDirectory(cgroup);
            Command outer = Command.Start(["/bin/sh", "-c", $"echo $$ > {cgroup}/cgroup.procs && exec \"$@\"", "sh",
                "unshare", "--mount", "--pid", "--uts", "--ipc", "--cgroup", "--fork", "--kill-child", "--mount-proc",
                "/bin/sh", "-c", Inner, "sh", units], folder.FolderPath);
            Machine machine = new(folder, cgroup, outer, port);
            // It takes orders as soon as its socket is there.
            long end = Environment.TickCount64 + (long)Deadline.Generous.TotalMilliseconds;
            while (await machine.Try("systemctl", "start", "launchd-cs") is { Length: > 0 } problem)
                Assert.True(Environment.TickCount64 < end && outer.IsRunning, $"{problem}\n{outer.Errors}");
            return machine;
        }

        /// <summary>What systemctl prints.</summary>
        public Task<string> Control(params string[] words) => Enter(["systemctl", "--no-pager", .. words]);

        public async Task<string> Enter(params string[] words)
        {
            await using Command command = Command.Start(Within(words));
            int code = await command.Exit();
            Assert.True(code == 0, $"{string.Join(' ', words)}: {code}\n{command.Output}\n{command.Errors}\n{Log()}");
            return command.Output.ToString();
        }

        public async ValueTask DisposeAsync()
        {
            await _outer.DisposeAsync();
            // The kernel has killed the whole namespace with its first process; a group that still has a member cannot be removed.
            long end = Environment.TickCount64 + (long)Deadline.Generous.TotalMilliseconds;
            while (!TryRemoveGroups())
                Assert.True(Environment.TickCount64 < end, $"{_cgroup} is in use");
            Folder.Dispose();
        }

        private string Log() => File.Exists(Folder.At("log")) ? File.ReadAllText(Folder.At("log")) : "";

        private async Task<string> Try(params string[] words)
        {
            if (Living.ChildrenOf(_outer.Pid).Length == 0)
                return "systemd has not begun";
            await using Command command = Command.Start(Within(words));
            return await command.Exit() == 0 ? "" : $"{command.Errors}\n{Log()}";
        }

        private string[] Within(string[] words) => ["nsenter", "-t",
            Living.ChildrenOf(_outer.Pid).Single().ToString(CultureInfo.InvariantCulture), "-m", "-p", "-C", .. words];

        private bool TryRemoveGroups()
        {
            try
            {
                string[] groups = Directory.GetDirectories(_cgroup, "*", SearchOption.AllDirectories);
                foreach (string group in groups.OrderByDescending(g => g.Length))
                    Directory.Delete(group);
                Directory.Delete(_cgroup);
                return true;
            }
            catch (IOException)
            {
                return !Directory.Exists(_cgroup);
            }
        }
    }
}

/// <summary>A test that runs systemd in namespaces, in a control group of its own; skipped with the reason otherwise.</summary>
public sealed class FactWhenSystemdAttribute : FactAttribute
{
    private const string Program = "/lib/systemd/systemd";

    public FactWhenSystemdAttribute()
    {
        Skip = !File.Exists(Program) ? "needs systemd" : CgroupRoot is null ? "needs a control group hierarchy of version 2"
            : new FactWhenRootAndToolAttribute("python3").Skip ?? new FactWhenMountsAndToolAttribute("nsenter").Skip ?? WhyNoGroup();
    }

    /// <summary>Where the hierarchy of version 2 is mounted; null: it is not.</summary>
    public static string? CgroupRoot { get; } =
        File.ReadLines("/proc/mounts").Select(l => l.Split(' ')).Where(f => f[2] == "cgroup2").Select(f => f[1]).FirstOrDefault();

    public static int Version { get; } = ReadVersion();

    private static string? WhyNoGroup()
    {
        string probe = $"{CgroupRoot}/launchd-cs-probe-{Environment.ProcessId}";
        try
        {
            Directory.CreateDirectory(probe);
            Directory.Delete(probe);
            return null;
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            return $"needs a control group of its own: {refused.Message}";
        }
    }

    // "systemd 252 (252.39-1~deb12u2)"
    private static int ReadVersion()
    {
        if (!File.Exists(Program))
            return 0;
        using System.Diagnostics.Process process = System.Diagnostics.Process.Start(
            new System.Diagnostics.ProcessStartInfo(Program, ["--version"]) { RedirectStandardOutput = true })!;
        string line = process.StandardOutput.ReadLine() ?? "";
        process.WaitForExit();
        return int.TryParse(line.Split(' ').ElementAtOrDefault(1), CultureInfo.InvariantCulture, out int version) ? version : 0;
    }
}
