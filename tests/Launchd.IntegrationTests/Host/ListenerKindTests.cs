using System.Net.Sockets;
using Launchd.AcceptanceTests.Support;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Calls;
using Launchd.Linux.Listening;
using Launchd.Linux.Paths;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// Sockets of the configuration as their clients and neighbours see them: path, mode, owner, aliases, and what is said where one cannot
/// be opened. Each refusal is one sentence with the remedy, and leaves nothing behind.
/// </summary>
public sealed class ListenerKindTests
{
    private const string Service = """

        [services.app]
        command = ["${DOTNET}", "${PROBE}", "--echo"]
        sockets = ["s"]
        start = "demand"
        """;

    [Fact]
    public async Task APathHasItsModeDirectoryAndAliases_AndAllGoesAtTheEnd()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [sockets.s]
            listen = "unix:made/below/app.sock"
            mode = "0620"
            directory_mode = "0711"
            symlinks = ["old.sock", "made/too.sock"]
            """ + Service);
        _ = await supervisor.Event("listener-opened");
        string path = supervisor.Scratch.At("made/below/app.sock");
        Assert.Equal((UnixFileMode)0b110_010_000, File.GetUnixFileMode(path));
        Assert.Equal((UnixFileMode)0b111_001_001, File.GetUnixFileMode(Path.GetDirectoryName(path)!));
        Assert.Equal("x", await Supervisor.Ask(supervisor.Scratch.At("old.sock"), "x"));
        Assert.Equal("x", await Supervisor.Ask(supervisor.Scratch.At("made/too.sock"), "x"));

        Assert.Equal(0, await supervisor.Stop());
        Assert.False(Path.Exists(path));
    }

    [Fact]
    public async Task WithoutRemoveOnStopThePathStays_AndTheNextRunTakesIt()
    {
        string path = Path.Combine(Path.GetTempPath(), $"lcs-{Guid.NewGuid():N}");
        string text = $"""
            [sockets.s]
            listen = "unix:{path}"
            remove_on_stop = false
            """ + Service;
        try
        {
            for (int run = 1; run <= 2; run++)
            {
                await using Supervisor supervisor = Supervisor.StartText(text);
                _ = await supervisor.Event("listener-opened");
                Assert.Equal("x", await Supervisor.Ask(path, "x"));
                Assert.Equal(0, await supervisor.Stop());
                Assert.True(Path.Exists(path));
            }
        }
        finally
        {
            File.Delete(path);
        }
    }

    [Fact]
    public async Task APathLongerThanASocketAddressIsServed()
    {
        string folder = new('d', 150);
        await using Supervisor supervisor = Supervisor.StartText($"""
            [sockets.s]
            listen = "unix:{folder}/app.sock"
            symlinks = ["short"]
            """ + Service);
        _ = await supervisor.Event("listener-opened");
        // Clients have the same trouble: the alias does not help connect(2), the directory as a working directory does.
        string way = $"/proc/self/fd/{OpenDirectory(supervisor.Scratch.At(folder), out FileDescriptor held)}/app.sock";
        using (held)
            Assert.Equal("x", await Supervisor.Ask(way, "x"));
        Assert.Equal(0, await supervisor.Stop());
        Assert.Empty(Directory.GetFileSystemEntries(supervisor.Scratch.FolderPath, "app.sock", SearchOption.AllDirectories));
    }

    [FactWhenRoot]
    public async Task PathsAndQueuesGetTheirOwners()
    {
        string queue = $"/lcs-{Guid.NewGuid():N}";
        await using Supervisor supervisor = Supervisor.StartText($"""
            [sockets.s]
            listen = ["unix:s.sock", "fifo:f", "mqueue:{queue}"]
            user = "daemon"
            group = "nogroup"
            mode = "0640"
            """ + Service.Replace("--echo", "--take", StringComparison.Ordinal));
        _ = await supervisor.Event("listener-opened", nth: 3);
        int pid = await supervisor.Pid();
        string queueNode = Directory.GetFileSystemEntries($"/proc/{pid}/fd").First(f => new FileInfo(f).LinkTarget == queue);
        foreach (string path in (string[])[supervisor.Scratch.At("s.sock"), supervisor.Scratch.At("f"), queueNode])
        {
            Assert.Equal(Errno.None, FileStatus.ReadFollow(path, out FileStatus status));
            Assert.Equal((1u, 65534u, 0b110_100_000), (status.Uid, status.Gid, status.Mode));
        }
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task VsockIsOpened_OrRefusedInWords()
    {
        OpenResult<OpenedListeners> tried =
            ListenerOpener.Open(new ListenerRequest { Endpoints = [new ListenAddress.Vsock(null, uint.MaxValue)] });
        if (tried.Failure is null)
            tried.Value.Undo();
        await using Supervisor supervisor = Supervisor.StartText("""
            [sockets.s]
            listen = "vsock://*:40000"
            """ + Service);
        if (tried.Failure is not null)
        {
            Assert.Contains("vsock", await supervisor.Errors.First(_ => true, "refusal"), StringComparison.Ordinal);
            return;
        }
        Assert.Equal("vsock://*:40000", (await supervisor.Event("listener-opened")).Text("address"));
        Assert.Equal(0, await supervisor.Stop());
    }

    public static TheoryData<string, int, string, string> Refused => new()
    {
        { "unix:.", 71, "a directory is in the way", "" },
        { "unix:file", 71, "a regular file is in the way; only a dead socket is replaced", "" },
        { "unix:live.sock", 71, "Address already in use (held by ", "" },
        { "unix:file/app.sock", 71, "file is not a directory", "" },
        { "unix:folder/", 78, "names a directory", "" },
        { "fifo:file", 71, "a regular file", "" },
        { "tcp://192.0.2.1:0", 71, "no interface of this machine has the address; free_bind = true", "" },
        { "tcp://127.0.0.1:0", 71, "cannot set bind_to_device = 'lcs-none'", "bind_to_device = \"lcs-none\"" },
        { "tcp://127.0.0.1:0", 71, "cannot set congestion = 'none'", "congestion = \"none\"" },
        { "unix:app.sock", 71, "what is there is not a symbolic link; it is not replaced", "symlinks = [\"file\"]" },
        { "unix:/proc/lcs.sock", 71, "cannot listen on unix:/proc/lcs.sock", "" },
        { "mqueue:name", 78, "is no name of a message queue", "" },
        { "netlink:roote", 78, "did you mean 'route'?", "" },
        { "special:file", 71, "a regular file, not a character device", "" },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public async Task WhatCannotBeOpenedIsOneSentence_AndNothingStarts(string listen, int code, string sentence, string more)
    {
        using Scratch scratch = new();
        scratch.Write("file", "");
        using Socket live = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        live.Bind(new UnixDomainSocketEndPoint(scratch.At("live.sock")));
        live.Listen();
        string file = scratch.Write("app.toml", Supervisor.WithRuntimeDirectory($"""
            [sockets.s]
            listen = "{listen}"
            {more}

            [services.app]
            command = ["sleep", "2147483647"]
            sockets = ["s"]
            """));
        await using Command run = Command.Launchd(["run", file], scratch.FolderPath);
        Assert.Equal(code, await run.Exit());
        string said = run.Errors.ToString();
        Assert.Contains(sentence, said, StringComparison.Ordinal);
        if (code == 71)
            Assert.StartsWith("launchd-cs: sockets.s: cannot ", Assert.Single(run.Errors.All()), StringComparison.Ordinal);
        Assert.Equal([], scratch.Processes());
        Assert.Equal(
            ["app.toml", "file", "live.sock"],
            Directory.GetFileSystemEntries(scratch.FolderPath).Select(Path.GetFileName)
                .Where(n => n != "run").Order(StringComparer.Ordinal));
    }

    public static TheoryData<string, string, string> SaidByCheck => new()
    {
        { "unix:folder", "2:10: error LD1404: sockets.s.listen: cannot listen on unix:", "hint: a directory is in the way" },
        { "unix:file", "2:10: error LD1404", "hint: a regular file is in the way; only a dead socket is replaced" },
        { "unix:live.sock", "2:10: warning LD1404", "hint: held by " },
        { "unix:file/app.sock", "2:10: error LD1404", "file is not a directory" },
        { "unix:folder/new/app.sock", "ok: 1 service", "" },
        { "unix:/run/{long}/{long}", "2:10: error LD1404", "hint: the last component is limited" },
        { "fifo:file", "2:10: error LD1404", "hint: a regular file is in the way" },
        { "tcp://192.0.2.1:0", "2:10: warning LD1404", "hint: no interface of this machine has the address; free_bind = true" },
        { "tcp://192.0.2.1:0\"\nfree_bind = true #", "ok: 1 service", "" },
        { "tcp://127.0.0.1:{port}", "2:10: warning LD1404", "hint: held by " },
        { "udp://127.0.0.1:0\"\nbind_to_device = \"lcs-none", "3:18: warning LD1404: sockets.s.bind_to_device",
            "hint: there is no network interface" },
        { "tcp://127.0.0.1:0\"\ncongestion = \"none", "3:14: error LD1404: sockets.s.congestion", "hint: available: " },
        { "unix:app.sock\"\nsymlinks = [\"file\"] #", "3:13: error LD1404: sockets.s.symlinks",
            "hint: what is there is not a symbolic link" },
        { "unix:app.sock\"\ngroup = \"no-such", "3:9: error LD1404: sockets.s.group: group \"no-such\": there is no such group", "" },
        { "special:file", "2:10: error LD1404", "hint: it is a regular file, not a character device" },
        { "special:/dev/none", "2:10: error LD1404", "No such file or directory" },
        { "special:/dev/null", "ok: 1 service", "" },
        { "mqueue:/lcs-check", "ok: 1 service", "" },
        { "netlink:route", "ok: 1 service", "" },
    };

    [Theory]
    [MemberData(nameof(SaidByCheck))]
    public async Task CheckSaysWhatThisMachineHasNot_AndMakesNothing(string listen, string said, string hint)
    {
        using Scratch scratch = new();
        scratch.Write("file", "");
        Directory.CreateDirectory(scratch.At("folder"));
        using Socket live = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        live.Bind(new UnixDomainSocketEndPoint(scratch.At("live.sock")));
        live.Listen();
        using TcpListener held = new(System.Net.IPAddress.Loopback, 0);
        held.Start();
        listen = listen.Replace("{port}", $"{((System.Net.IPEndPoint)held.LocalEndpoint).Port}", StringComparison.Ordinal)
            .Replace("{long}", new string('x', 120), StringComparison.Ordinal);
        string file = scratch.Write("app.toml", $"""
            [sockets.s]
            listen = "{listen}"
            [services.app]
            command = ["true"]
            sockets = ["s"]
            """);
        await using Command check = Command.Launchd(["check", file], scratch.FolderPath);
        bool isError = said.Contains("error", StringComparison.Ordinal);
        Assert.Equal(isError ? 78 : 0, await check.Exit());
        string all = check.Errors.ToString() + check.Output;
        Assert.Contains(said, all, StringComparison.Ordinal);
        Assert.Contains(hint, all, StringComparison.Ordinal);
        Assert.Equal(["app.toml", "file", "folder", "live.sock"],
            Directory.GetFileSystemEntries(scratch.FolderPath).Select(Path.GetFileName).Order());
        Assert.Empty(Directory.GetFileSystemEntries(scratch.At("folder")));

        await using Command elsewhere = Command.Launchd(["check", "--elsewhere", file], scratch.FolderPath);
        Assert.Equal(0, await elsewhere.Exit());
        Assert.DoesNotContain("LD14", elsewhere.Errors.ToString(), StringComparison.Ordinal);
    }

    // What its own supervisor holds is not in the way: that is what --plan is for.
    [Fact]
    public async Task CheckSaysNothingOfWhatTheRunningSupervisorHolds()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [sockets.s]
            listen = ["tcp://127.0.0.1:0", "unix:app.sock"]
            """ + Service);
        string port = $"{(await supervisor.Address("s")).Port}";
        string text = File.ReadAllText(supervisor.Scratch.At("config.toml")).Replace(":0\"", $":{port}\"", StringComparison.Ordinal);
        supervisor.Scratch.Write("config.toml", text);
        (int code, string output, string errors) = await supervisor.Verb("check", "config.toml");
        Assert.Equal((0, "ok: 1 service, 1 socket, 0 files", ""), (code, output.TrimEnd(), errors));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task CheckNamesTheMissingPrivilege()
    {
        using Scratch scratch = new();
        string file = scratch.Write("app.toml", """
            [sockets.low]
            listen = "tcp://127.0.0.1:80"
            transparent = true
            mark = 7
            priority = 7
            [sockets.path]
            listen = "unix:/root/app.sock"
            [sockets.group]
            listen = "unix:/tmp/app.sock"
            group = "daemon"
            [services.app]
            command = ["true"]
            sockets = ["low", "path", "group"]
            """);
        foreach (string path in (string[])[scratch.FolderPath, file])
            File.SetUnixFileMode(path, (UnixFileMode)0b1_111_111_111);
        string drop = "setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-net_admin,-net_raw,-net_bind_service \"$@\"";
        await using Command check = Command.Start(
            ["sh", "-c", drop, "sh", .. Repository.LaunchdCommandForEverybody, "check", file], scratch.FolderPath);
        Assert.Equal(78, await check.Exit());
        string said = check.Errors.ToString();
        foreach (string place in (string[])["2:10", "3:15", "4:8", "5:12", "7:10", "10:9"])
            Assert.Contains($"app.toml:{place}: error LD1405: sockets.", said, StringComparison.Ordinal);
        foreach (string remedy in (string[])["CAP_NET_BIND_SERVICE", "needs CAP_NET_ADMIN or CAP_NET_RAW", "only root may give a file"])
            Assert.Contains(remedy, said, StringComparison.Ordinal);
    }

    // In a mount namespace of its own, so that nothing is left mounted.
    [FactWhenRoot]
    public async Task AReadOnlyFileSystemIsNamed()
    {
        using Scratch scratch = new();
        string mounted = Directory.CreateDirectory(scratch.At("mounted")).FullName;
        string file = scratch.Write("app.toml", Supervisor.WithRuntimeDirectory("""
            [sockets.s]
            listen = "unix:mounted/app.sock"

            [services.app]
            command = ["sleep", "2147483647"]
            sockets = ["s"]
            """));
        string script = $"mount -t tmpfs -o ro none {mounted} && exec \"$@\"";
        foreach ((string verb, int code) in ((string, int)[])[("run", 71), ("check", 78)])
        {
            await using Command run = Command.Start(
                ["unshare", "-m", "sh", "-c", script, "sh", .. Repository.LaunchdCommand, verb, file], scratch.FolderPath);
            Assert.Equal(code, await run.Exit());
            Assert.Contains("the file system is mounted read-only", run.Errors.ToString(), StringComparison.Ordinal);
        }
    }

    [FactWhenRoot]
    public async Task AMissingPrivilegeIsNamedWithItsOption()
    {
        using Scratch scratch = new();
        string file = scratch.Write("app.toml", Supervisor.WithRuntimeDirectory("""
            [sockets.s]
            listen = "tcp://127.0.0.1:0"
            transparent = true

            [services.app]
            command = ["sleep", "2147483647"]
            sockets = ["s"]
            """));
        foreach (string path in (string[])[scratch.FolderPath, file])
            File.SetUnixFileMode(path, (UnixFileMode)0b1_111_111_111);
        string drop = "setpriv --reuid=65534 --regid=65534 --clear-groups --bounding-set=-net_admin,-net_raw \"$@\"";
        await using Command run = Command.Start(
            ["sh", "-c", drop, "sh", .. Repository.LaunchdCommandForEverybody, "run", file], scratch.FolderPath);
        Assert.Equal(77, await run.Exit());
        string expected = "cannot set transparent = 1 on tcp://127.0.0.1:0: Operation not permitted (needs CAP_NET_ADMIN";
        Assert.Contains(expected, run.Errors.ToString(), StringComparison.Ordinal);
    }

    private static int OpenDirectory(string path, out FileDescriptor held)
    {
        held = Files.Open(null, path, Tmds.Linux.LibC.O_PATH | Tmds.Linux.LibC.O_DIRECTORY, 0, out _)!;
        return held.Number;
    }
}
