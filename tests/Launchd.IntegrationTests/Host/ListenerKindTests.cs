using System.Net.Sockets;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// Sockets of the configuration as their clients and neighbours see them: path, mode, owner, aliases, and what is said where one cannot
/// be opened. Each refusal is one sentence with the remedy, and leaves nothing behind.
/// </summary>
[Collection(nameof(Supervisors))]
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
        OpenResult<OpenedListeners> tried = ListenerOpener.Open(new ListenerRequest { Endpoints = [new ListenerEndpoint.Vsock(null, uint.MaxValue)] });
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
            Directory.GetFileSystemEntries(scratch.FolderPath).Select(Path.GetFileName).Where(n => n != "run").Order(StringComparer.Ordinal));
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
        await using Command run = Command.Start(["unshare", "-m", "sh", "-c", script, "sh", .. Repository.LaunchdCommand, "run", file], scratch.FolderPath);
        Assert.Equal(71, await run.Exit());
        Assert.Contains("the file system is mounted read-only", Assert.Single(run.Errors.All()), StringComparison.Ordinal);
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
        await using Command run = Command.Start(["sh", "-c", drop, "sh", .. Repository.LaunchdCommand, "run", file], scratch.FolderPath);
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
