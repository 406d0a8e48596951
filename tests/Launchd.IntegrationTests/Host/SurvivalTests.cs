using System.Globalization;
using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// What comes from outside, a signal, a limit, a filter of system calls, costs a service or a line, and never the supervisor.
/// </summary>
[Collection(nameof(Supervisors))]
public sealed class SurvivalTests
{
    private const string Sleeper = """
        [services.app]
        command = ["sleep", "2147483647"]
        """;

    private const int SIGHUP = 1;

    /// <summary>A user other than root, to whom limits apply.</summary>
    private const int Other = 4321;
    private static readonly string[] AsOther = ["setpriv", $"--reuid={Other}", $"--regid={Other}", "--clear-groups"];

    /// <summary>All that would end or stop a process that does not handle it, but those that mean that it is broken, and Ctrl-Z.</summary>
    [Fact]
    public async Task SignalsWithoutAMeaningAreCounted()
    {
        await using Supervisor supervisor = Supervisor.StartText(Sleeper);
        _ = await supervisor.Event("ready", "app");
        int pid = await supervisor.Pid();
        using ControlSocket control = await ControlSocket.To(supervisor);
        int[] signals = [13, 14, 16, 21, 22, 24, 25, 26, 27, 29, 31, 36, 50, 64];

        foreach (int signal in signals)
            Living.Signal(pid, signal);
        // Libc's own, and the one by which the runtime interrupts its threads.
        foreach (int signal in (int[])[32, 33, 34])
            Living.Signal(pid, signal);

        // Signals of one wake-up are read after the request that came with them.
        while (Counter(await control.Call("Status"), "signals-ignored") < signals.Length)
        {
        }
        Assert.Equal("ready", (await control.Service("app")).GetProperty("state").GetString());
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("prlimit")]
    public async Task AFileThatMayNotGrowCostsLines()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["/bin/sh", "-c", "while :; do echo a line of some length, of which there are many; sleep 0.01; done"]
            log = { path = "app.log" }
            """);
        int pid = await supervisor.Pid();
        _ = await supervisor.Event("ready", "app");
        await Limit(pid, "--fsize=1:1", []);

        _ = await supervisor.Errors.First(l => l.Contains("cannot write", StringComparison.Ordinal), "the loss is told");

        using ControlSocket control = await ControlSocket.To(supervisor);
        Assert.Equal("ready", (await control.Service("app")).GetProperty("state").GetString());
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task WhatOurParentIgnoredIsNotIgnoredInServicesNorInTheirCommands()
    {
        string[] around = ["/bin/sh", "-c", "trap '' 1 2 3 10 12 13 14 15 18 20 21 22 23 24 25 26 27 28 29 30 31 36 64; exec \"$@\"", "sh"];
        await using Supervisor supervisor = Supervisor.StartTextBy(around, """
            [services.app]
            command = ["/bin/sh", "-c", "grep -E 'Sig(Ign|Blk)' /proc/self/status; exec sleep 2147483647"]
            ignore_sigpipe = false
            ready = { command = ["/bin/sh", "-c", "grep -E 'Sig(Ign|Blk)' /proc/self/status > probe"] }
            """);
        _ = await supervisor.Event("ready", "app");

        foreach (string mask in (string[])["SigBlk", "SigIgn"])
        {
            string service = await supervisor.Output.First(l => l.Contains(mask, StringComparison.Ordinal), mask);
            Assert.EndsWith("0000000000000000", service, StringComparison.Ordinal);
        }
        string[] probe = File.ReadAllLines(supervisor.Scratch.At("probe"));
        Assert.Equal("SigBlk:\t0000000000000000", probe[0]);
        // SIGPIPE may be ignored there.
        Assert.Contains(probe[1], (string[])["SigIgn:\t0000000000000000", "SigIgn:\t0000000000001000"]);
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRootAndTool("setpriv")]
    public async Task WithoutAThread_AReloadIsRefused_AndTheServicesGoOn()
    {
        await using Supervisor supervisor = Supervisor.StartTextAs(Other, Sleeper);
        int pid = await supervisor.Pid();
        _ = await supervisor.Event("ready", "app");
        await Limit(pid, "--nproc=1:1", AsOther);

        Living.Signal(pid, SIGHUP);
        _ = await supervisor.Event("reload-refused");
        _ = await supervisor.Errors.First(
            l => l.Contains("not reloaded", StringComparison.Ordinal) && l.Contains("no thread", StringComparison.Ordinal),
            "the log says why");
        (int code, _, string errors) = await supervisor.Verb("reload");

        Assert.Equal(1, code);
        Assert.Contains("no thread can be started", errors, StringComparison.Ordinal);
        using ControlSocket control = await ControlSocket.To(supervisor);
        Assert.Equal("ready", (await control.Service("app")).GetProperty("state").GetString());
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRootAndTool("setpriv")]
    public async Task WithoutAThread_AServiceThatWaitsForRoomIsRefused_AndTheOthersGoOn()
    {
        string path = $"/tmp/lcs-{Guid.NewGuid():N}";
        using System.Net.Sockets.Socket server = new(System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, 0);
        server.Bind(new System.Net.Sockets.UnixDomainSocketEndPoint(path));
        File.SetUnixFileMode(path, (UnixFileMode)0b110_110_110);
        server.Listen(0);
        using System.Net.Sockets.Socket first = new(System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, 0);
        await first.ConnectAsync(new System.Net.Sockets.UnixDomainSocketEndPoint(path));
        try
        {
            await using Supervisor supervisor = Supervisor.StartTextAs(Other, $$"""
                [files.db]
                connect = "unix:{{path}}"
                [services.app]
                command = ["sleep", "2147483647"]
                [services.waits]
                command = ["true"]
                files = ["db"]
                start = "manual"
                """);
            int pid = await supervisor.Pid();
            _ = await supervisor.Event("ready", "app");
            await Limit(pid, "--nproc=1:1", AsOther);

            (int code, _, _) = await supervisor.Verb("start", "waits", "--no-wait");
            Assert.Equal(0, code);
            Happening refused = await supervisor.Event("exec-failed", "waits");

            Assert.Contains("no thread can be started", refused.Text("text"), StringComparison.Ordinal);
            using ControlSocket control = await ControlSocket.To(supervisor);
            Assert.Equal("ready", (await control.Service("app")).GetProperty("state").GetString());
            Assert.Equal(0, await supervisor.Stop());
        }
        finally
        {
            File.Delete(path);
        }
    }

    [TheoryWhenRootAndTool("bwrap")]
    [InlineData("pidfd-open", 434)]
    [InlineData("pidfd-send-signal", 424)]
    [InlineData("subreaper", 157)]
    [InlineData("close-range", 436)]
    public async Task WhereACallIsFilteredAway_ItIsSaid_AndServicesAreStartedAndEnded(string name, int call)
    {
        if (System.Runtime.InteropServices.RuntimeInformation.ProcessArchitecture != System.Runtime.InteropServices.Architecture.X64)
            return;
        using TemporaryDirectory directory = new();
        string[] around = CallFilter.Refusing(call).Around(directory);
        // Nobody tells of the end of an orphan that goes to another process.
        string beside = name == "subreaper" ? "" : "sleep 2147483646 & ";
        await using Supervisor supervisor = Supervisor.StartTextBy(
            around,
            $"""
            [services.app]
            command = ["/bin/sh", "-c", "{beside}exec sleep 2147483647"]
            """,
            Supervisor.Unaudited);
        _ = await supervisor.Event("ready", "app");

        string said = await supervisor.Errors.First(l => l.Contains("is refused here", StringComparison.Ordinal), "what cannot be done");
        (int restarted, _, string errors) = await supervisor.Verb("restart", "app");
        (int stopped, _, _) = await supervisor.Verb("stop", "app");

        Assert.Contains(name + " is refused here", said, StringComparison.Ordinal);
        Assert.True(restarted == 0, errors);
        Assert.Equal(0, stopped);
        (int ended, _, _) = await supervisor.Verb("shutdown");
        Assert.Equal(0, ended);
        Assert.Equal(0, await supervisor.Ended());
    }

    [FactWhenNativeRoot]
    public async Task AVerbInADirectoryThatIsGone_HasASentenceAndACode()
    {
        using Scratch scratch = new();
        string file = scratch.Write("app.toml", Supervisor.WithRuntimeDirectory(Sleeper));
        foreach ((string[] words, int expected) in ((string[], int)[])[
            (["status", "--name", "none"], 69), (["check", file], 0), (["--version"], 0),
            (["check"], 71), (["run"], 71), (["run", "app.toml"], 71),
            (["activate", "-l", "tcp://127.0.0.1:0", "--", "true"], 71)])
        {
            await using Command verb = Command.Start(
                ["/bin/sh", "-c", "mkdir gone && cd gone && rmdir ../gone && exec \"$@\"", "sh", .. Repository.LaunchdCommand, .. words],
                scratch.FolderPath);
            int code = await verb.Exit();

            Assert.True(code == expected, $"{string.Join(' ', words)}: {code}\n{verb.Errors}");
            if (code == 71)
                Assert.Contains("the working directory cannot be told", verb.Errors.ToString(), StringComparison.Ordinal);
        }
    }

    // The path of the program does not lead to it any more when it is to be executed once more: it was removed, as here, or a directory on
    // the way is closed to the user who runs it.
    [FactWhenNativeRoot]
    public async Task ABinaryWhosePathDoesNotLeadToItRunsAllTheSame()
    {
        using Scratch scratch = new();
        string file = scratch.Write("app.toml", Supervisor.WithRuntimeDirectory("""
            [services.app]
            command = ["/bin/sh", "-c", "exit 3"]
            restart = "never"
            """));
        await using Command run = Command.Start(
            ["/bin/sh", "-c", "cp \"$1\" copy && exec 9<copy && rm copy && exec /proc/self/fd/9 run --exit-with app \"$2\"", "sh",
                .. Repository.LaunchdCommand, file],
            scratch.FolderPath);

        int code = await run.Exit();

        Assert.True(code == 3, $"{code}\n{run.Errors}");
    }

    [FactWhenNativeRoot]
    public async Task WithoutProc_RunIsRefused_AndCheckWorks()
    {
        using Scratch scratch = new();
        string file = scratch.Write("app.toml", Supervisor.WithRuntimeDirectory(Sleeper));
        foreach ((string verb, int expected) in ((string, int)[])[("run", 71), ("check", 0)])
        {
            await using Command command = Command.Start(
                ["unshare", "--mount", "/bin/sh", "-c", "umount -l /proc && exec \"$@\"", "sh", .. Repository.LaunchdCommand, verb, file],
                scratch.FolderPath);
            int code = await command.Exit();

            Assert.True(code == expected, $"{verb}: {code}\n{command.Errors}");
            if (verb == "run")
                Assert.Contains("needs /proc: mount it", command.Errors.ToString(), StringComparison.Ordinal);
        }
    }

    /// <summary>By the user whose process it is: root may lack CAP_SYS_RESOURCE in a container.</summary>
    private static async Task Limit(int pid, string limit, params string[] around)
    {
        await using Command command = Command.Start([.. around, "prlimit", "--pid", pid.ToString(CultureInfo.InvariantCulture), limit]);
        int code = await command.Exit();
        Assert.True(code == 0, command.Errors.ToString());
    }

    private static long Counter(JsonElement status, string name) =>
        status.GetProperty("supervisor").GetProperty("counters").TryGetProperty(name, out JsonElement count) ? count.GetInt64() : 0;
}
