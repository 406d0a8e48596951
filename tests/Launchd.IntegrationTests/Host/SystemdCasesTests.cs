using System.Net;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Paths;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// What systemd's own test suite asserts of sockets and notifications, restated for programs under this supervisor and named after its
/// cases; docs/testing.md lists all of them with the test that covers each.
/// </summary>
public sealed class SystemdCasesTests
{
    private const string Probe = "\"${DOTNET}\", \"${PROBE}\"";

    // TEST-80-NOTIFYACCESS
    [Theory]
    [InlineData("main", "\"--notify-from-child\", \"READY=1\"", false)]
    [InlineData("all", "\"--notify-from-child\", \"READY=1\"", true)]
    [InlineData("main", "\"--notify\", \"NOTIFYACCESS=all\", \"--notify-from-child\", \"READY=1\"", true)]
    [InlineData("all", "\"--notify\", \"NOTIFYACCESS=main\", \"--notify-from-child\", \"READY=1\"", false)]
    [InlineData("main", "\"--notify-from-child\", \"NOTIFYACCESS=all\", \"--notify-from-child\", \"READY=1\"", false)]
    public async Task WhoMaySpeak_AndHowTheMainProcessChangesIt(string access, string steps, bool isHeard)
    {
        await using Supervisor supervisor = Supervisor.StartText($"""
            [services.app]
            command = [{Probe}, "--to", "said", {steps}, "--notify", "STATUS=all said"]
            ready = "notify"
            notify_access = "{access}"
            """);
        _ = await supervisor.Events.First(e => e.Kind == "notified" && e.Texts("lines").Contains("STATUS=all said"), "the last message");
        Assert.Equal(isHeard, supervisor.Events.All().Any(e => e.Kind == "ready"));
        Assert.Equal(0, await supervisor.Stop());
    }

    // TEST-16-EXTEND-TIMEOUT: in the start, and its absence.
    [Theory]
    [InlineData("\"--notify\", \"EXTEND_TIMEOUT_USEC=30000000\", ", true)]
    [InlineData("", false)]
    public async Task AStartIsExtendedByWhoAsksForIt(string step, bool isReady)
    {
        await using Supervisor supervisor = Supervisor.StartText($"""
            [services.app]
            command = [{Probe}, {step}"--after", "11s", "--ready"]
            ready = "notify"
            ready_timeout = "10s"
            restart = "never"
            """);
        Happening outcome = await supervisor.Events.First(e => e.Kind is "ready" or "failed", "outcome");
        Assert.Equal(isReady ? "ready" : "failed", outcome.Kind);
        Assert.Equal(0, await supervisor.Stop());
    }

    // TEST-16-EXTEND-TIMEOUT: in the stop.
    [Theory]
    [InlineData(true, "EXTEND_TIMEOUT_USEC=30000000")]
    [InlineData(false, "STATUS=no more time")]
    public async Task AStopIsExtendedByWhoAsksForIt(bool endsByItself, string says)
    {
        string script = $"""
            trap 'trap "" TERM; "$$1" "$$2" --notify {says} --exit 0; sleep 11; exit 0' TERM
            "$$1" "$$2" --notify READY=1 --exit 0
            while :; do sleep 0.1; done
            """;
        await using Supervisor supervisor = Supervisor.StartText($"""
            [services.app]
            command = ["/bin/sh", "-c", '''
            {script}
            ''', "sh", {Probe}]
            ready = "notify"
            notify_access = "all"
            stop_timeout = "10s"
            """);
        _ = await supervisor.Event("ready", "app");
        Task<(int, string, string)> stop = supervisor.Verb("stop", "app");
        Happening exited = await supervisor.Event("exited", "app");
        Assert.Equal(endsByItself, exited.Text("code") == "0");
        _ = await stop;
        Assert.Equal(0, await supervisor.Stop());
    }

    // TEST-59-RELOADING-RESTART
    [Fact]
    public async Task DeathWhileReloadingIsAnOrdinaryFailure()
    {
        await using Supervisor supervisor = Supervisor.StartText($"""
            [services.app]
            command = [{Probe}, "--ready", "--notify", "RELOADING=1", "--exit", "3"]
            ready = "notify"
            restart = "never"
            """);
        Happening failed = await supervisor.Event("failed", "app");
        Assert.Contains("exited with 3", failed.Text("reason"), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    // TEST-80-NOTIFYACCESS (fdstore): a restart keeps what was stored, a stop only where the file says so.
    [Theory]
    [InlineData("restart", "0")]
    [InlineData("always", "1")]
    public async Task TheStoreSurvivesARestart_AndAStopOnlyIfAsked(string keep, string afterStop)
    {
        await using Supervisor supervisor = Supervisor.StartText($"""
            [services.app]
            command = ["/bin/sh", "-c", '''
            echo $$LISTEN_FDS >> counts
            test -n "$$LISTEN_FDS" || exec "$$1" "$$2" --store-fd kept --ready
            exec "$$1" "$$2" --ready
            ''', "sh", {Probe}]
            ready = "notify"
            fd_store = 4
            fd_store_keep = "{keep}"
            """);
        _ = await supervisor.Event("ready", "app");
        Assert.Equal(0, (await supervisor.Verb("restart", "app", "--replace")).Code);
        Assert.Equal(0, (await supervisor.Verb("stop", "app")).Code);
        Assert.Equal(0, (await supervisor.Verb("start", "app")).Code);
        Assert.Equal(["", "1", afterStop == "0" ? "" : "1"], File.ReadAllLines(supervisor.Scratch.At("counts")));
        Assert.Equal(0, await supervisor.Stop());
    }

    // TEST-07-PID1.type-exec-parallel: a start that fails is never mistaken for another's.
    [Fact]
    public async Task ManyStartsAtOnce_EachWithItsOwnVerdict()
    {
        string text = string.Concat(Enumerable.Range(0, 25).Select(i => $"""
            [services.app{i}]
            command = [{(i % 2 == 0 ? "\"/nowhere/program\"" : "\"sleep\", \"2147483647\"")}]
            restart = "never"


            """));
        await using Supervisor supervisor = Supervisor.StartText(text);
        for (int i = 0; i < 25; i++)
        {
            Happening verdict = await supervisor.Events.First(e => e.Service == $"app{i}" && e.Kind is "exec-failed" or "ready", $"app{i}");
            Assert.Equal(i % 2 == 0 ? "exec-failed" : "ready", verdict.Kind);
        }
        Assert.Equal(0, await supervisor.Stop());
    }

    // TEST-04-JOURNAL.stopped-socket-activation: who ended is started by the next traffic.
    [Fact]
    public async Task WhoEndedByItselfIsStartedByTheNextTraffic()
    {
        await using Supervisor supervisor = Supervisor.StartText($"""
            [sockets.echo]
            listen = "tcp://127.0.0.1:0"

            [services.echo]
            command = [{Probe}, "--greet", "", "--echo"]
            sockets = ["echo"]
            start = "demand"
            """);
        IPEndPoint address = await supervisor.Address("echo");
        for (int life = 1; life <= 3; life++)
        {
            Assert.Equal("x", await Supervisor.Ask(address, "x"));
            Assert.Equal(0, (await supervisor.Verb("signal", "TERM", "echo")).Code);
            _ = await supervisor.Event("exited", "echo", life);
        }
        Assert.Equal(0, await supervisor.Stop());
    }

    // TEST-07-PID1.issue-38320
    [Fact]
    public async Task WhatStoresNothingHasNothingListed_AndWhatIsNotThereIsSaid()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.plain]
            command = ["sleep", "2147483647"]
            """);
        _ = await supervisor.Event("ready", "plain");
        (int code, string output, string errors) = await supervisor.Verb("fds", "plain", "--json");
        Assert.Equal((0, ""), (code, errors));
        Assert.Contains("\"descriptors\":[]", output.Replace(" ", "", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.Equal(4, (await supervisor.Verb("fds", "nobody")).Code);
        Assert.Equal(0, await supervisor.Stop());
    }

    // TEST-07-PID1.issue-3171: whatever becomes of the file, a socket that is open has the mode and the group that it was given.
    [FactWhenRoot]
    public async Task AReloadKeepsModeAndGroupOfASocket_OrChangesThemWhereItStands()
    {
        string Text(string mode, string group) => $"""
            [sockets.s]
            listen = "unix:s.sock"
            mode = "{mode}"
            group = "{group}"

            [services.each]
            command = ["/bin/cat"]
            sockets = ["s"]
            start = "connection"
            input = "socket"
            output = "socket"
            error = "log"
            """;
        await using Supervisor supervisor = Supervisor.StartText(Text("0660", "daemon"));
        _ = await supervisor.Event("listener-opened");
        string path = supervisor.Scratch.At("s.sock");
        ulong first = await Served(path, 0b110_110_000, 1);

        File.Delete(supervisor.Scratch.At("config.toml"));
        Assert.Equal(78, (await supervisor.Verb("reload")).Code);
        Assert.Equal(first, await Served(path, 0b110_110_000, 1));
        Assert.Equal(0, (await supervisor.Change(Text("0600", "root"))).Code);
        Assert.Equal(first, await Served(path, 0b110_000_000, 0));

        Assert.Equal(0, (await supervisor.Change("[services.other]\ncommand = [\"sleep\", \"2147483647\"]")).Code);
        // An instance that serves a connection of it may still be ending.
        await supervisor.Until(() => !Path.Exists(path));
        Assert.Equal(0, (await supervisor.Change(Text("0660", "daemon"))).Code);
        _ = await Served(path, 0b110_110_000, 1);
        Assert.Equal(0, await supervisor.Stop());
    }

    private static async Task<ulong> Served(string path, int mode, uint group)
    {
        Assert.Equal("x", await Supervisor.Ask(path, "x"));
        Assert.Equal(Errno.None, FileStatus.ReadFollow(path, out FileStatus status));
        Assert.Equal((mode, group), (status.Mode, status.Gid));
        return status.Inode;
    }

    // The rule of docs/configuration.md: an open socket takes the place of an order.
    [Fact]
    public async Task WhatOnlyWantsAnotherStartsBesideIt_AndItsClientsWaitInTheQueue()
    {
        using Gate gate = new();
        await using Supervisor supervisor = Supervisor.StartText($"""
            [sockets.db]
            listen = "unix:db.sock"

            [services.web]
            command = ["sleep", "2147483647"]
            wants = ["db"]

            [services.db]
            command = [{Probe}, "--wait", "{gate.FilePath}", "--echo", "--ready"]
            ready_timeout = "1h"
            sockets = ["db"]
            ready = "notify"

            [services.report]
            command = ["sleep", "2147483647"]
            requires = ["lazy"]

            [sockets.lazy]
            listen = "unix:lazy.sock"

            [services.lazy]
            command = [{Probe}, "--echo"]
            sockets = ["lazy"]
            start = "demand"
            """);
        // The other is not ready before the gate opens.
        _ = await supervisor.Event("ready", "web");
        // 'report' requires what starts on demand: it neither waits for it nor starts it.
        _ = await supervisor.Event("ready", "report");
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "spawned" && e.Service == "lazy");
        Task<string> answer = Supervisor.Ask(supervisor.Scratch.At("db.sock"), "x");
        await gate.Open();
        Assert.Equal("x", await answer);
        Assert.Equal(0, await supervisor.Stop());
    }
}
