using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// What a child finds: exactly the descriptors, variables, dispositions and limits of its configuration, and nothing of ours.
/// </summary>
[Collection(nameof(Supervisors))]
public sealed class AuditTests
{
    private const string Probing = "[\"${DOTNET}\", \"${PROBE}\", \"--to\", \"said\", \"--audit\", \"--ready\"]";

    [Theory]
    [InlineData("clone")]
    [InlineData("exec")]
    public async Task SocketsThenFiles_InTheirOrder_AndNothingElse(string carrier)
    {
        // What passes by default, whatever else is in the environment of whoever runs the tests.
        Dictionary<string, string> passed = new()
        {
            ["PATH"] = "/usr/local/bin:/usr/bin:/bin", ["HOME"] = "/tmp", ["USER"] = "somebody", ["LANG"] = "C.UTF-8",
        };
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [sockets.http]
            listen = ["tcp://127.0.0.1:0", "unix:http.sock"]
            name = "web"
            [sockets.log]
            listen = "udp://127.0.0.1:0"
            [files.notes]
            path = "notes"
            open = "append"
            create = "0640"
            [files.ring]
            memory = "64KiB"
            [files.here]
            directory = "."
            [services.app]
            command = {{Probing}}
            sockets = ["log", "http"]
            files = ["ring", "here", "notes"]
            ready = "notify"
            watchdog = "1h"
            fd_store = 7
            environment = { A = "x ${fd:ring} ${service} ${slot} ${generation}" }
            pass_environment = []
            umask = "0027"
            """, new Dictionary<string, string>(passed) { ["LAUNCHD_SPAWN"] = carrier });
        Happening ready = await supervisor.Event("ready", "app");
        JsonElement audit = supervisor.Said("said", "audit").Single();

        Assert.Equal([0, 1, 2, 3, 4, 5, 6, 7, 8, 9], Inherited(audit).Select(d => d.GetProperty("number").GetInt32()));
        Assert.Equal(
            ["/dev/null", "pipe", "pipe", "socket", "socket", "socket", "/memfd",
                supervisor.Scratch.FolderPath, supervisor.Scratch.At("notes"),
                "socket"],
            Inherited(audit).Select(d => Kind(d.GetProperty("target").GetString()!)));
        Assert.True(Descriptor(audit, 7).GetProperty("path_only").GetBoolean());
        Assert.True(Descriptor(audit, 8).GetProperty("append").GetBoolean());
        Assert.Equal(2, Descriptor(audit, 3).GetProperty("socket").GetProperty("type").GetInt32());
        Assert.Equal("0027", audit.GetProperty("umask").GetString());
        Assert.Equal(ready.Pid, audit.GetProperty("sid").GetInt32());
        Assert.Equal(ready.Pid, audit.GetProperty("pgid").GetInt32());
        Dictionary<string, string> expected = new(passed)
        {
            ["A"] = "x 6 app 0 1", ["FDSTORE"] = "7", ["LAUNCHD_GENERATION"] = "1", ["LAUNCHD_INSTANCE"] = "1", ["LAUNCHD_SERVICE"] = "app",
            ["LAUNCHD_SLOT"] = "0", ["LAUNCHD_CHANNEL"] = "9", ["LAUNCHD_PID"] = $"{ready.Pid}",
            ["LISTEN_FDNAMES"] = "log:web:web:ring:here:notes", ["LISTEN_FDS"] = "6", ["LISTEN_PID"] = $"{ready.Pid}",
            ["NOTIFY_SOCKET"] = supervisor.Scratch.At("run/notify/1"), ["WATCHDOG_PID"] = $"{ready.Pid}", ["WATCHDOG_USEC"] = "3600000000",
        };
        Dictionary<string, string> environment = Environment(audit);
        // The inode of the own pidfd: newer kernels alone have one.
        _ = environment.Remove("LISTEN_PIDFDID", out string? pidfd);
        Assert.True(pidfd is null || long.Parse(pidfd) > 0);
        Assert.True(environment.Remove("LAUNCHD_MARK", out string? mark));
        Assert.Matches("^[0-9a-f]{32}:[0-9a-f]{32}$", mark);
        Assert.Equal(expected.OrderBy(e => e.Key, StringComparer.Ordinal), environment.OrderBy(e => e.Key, StringComparer.Ordinal));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [InlineData("", "/dev/null", "pipe", "pipe")]
    [InlineData("output = \"null\"", "/dev/null", "/dev/null", "/dev/null")]
    [InlineData("output = \"null\"\nerror = \"log\"", "/dev/null", "/dev/null", "pipe")]
    [InlineData("output = \"file:out\"", "/dev/null", "out", "out")]
    [InlineData("input = \"file:config.toml\"\noutput = \"file:out\"\nerror = \"file:err\"", "config.toml", "out", "err")]
    [InlineData("output = \"inherit\"\nerror = \"inherit\"", "/dev/null", "pipe", "pipe")]
    public async Task EachFormOfInputAndOutput(string keys, string input, string output, string error)
    {
        await using Supervisor supervisor = Supervisor.StartText($"""
            [services.app]
            command = {Probing}
            ready = "notify"
            {keys}
            """);
        _ = await supervisor.Event("ready", "app");
        JsonElement audit = supervisor.Said("said", "audit").Single();

        Assert.Equal([0, 1, 2, 3], Inherited(audit).Select(d => d.GetProperty("number").GetInt32()));
        Assert.Equal(
            [input, output, error, "socket"],
            Inherited(audit).Select(d => Kind(d.GetProperty("target").GetString()!).Replace(supervisor.Scratch.FolderPath + "/", "",
                StringComparison.Ordinal)));
        Assert.DoesNotContain("LISTEN_FDS", Environment(audit).Keys);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task TheReadyDescriptorStandsWhereItWasAskedFor_WithNothingBetween()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [sockets.http]
            listen = "tcp://127.0.0.1:0"
            [services.app]
            command = ["${DOTNET}", "${PROBE}", "--to", "said", "--audit", "--ready-fd", "9"]
            sockets = ["http"]
            ready = { descriptor = 9 }
            notify_access = "none"
            listen_environment = false
            """);
        _ = await supervisor.Event("ready", "app");
        JsonElement audit = supervisor.Said("said", "audit").Single();

        // The channel stands directly behind what is passed.
        Assert.Equal([0, 1, 2, 3, 4, 9], Inherited(audit).Select(d => d.GetProperty("number").GetInt32()));
        Assert.Equal("write", Descriptor(audit, 9).GetProperty("access").GetString());
        Assert.DoesNotContain(Environment(audit).Keys, k => k.StartsWith("LISTEN_", StringComparison.Ordinal) || k == "NOTIFY_SOCKET");
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task AConnectionIsDescriptorThree_AndSaysWhoIsThere()
    {
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [sockets.chat]
            listen = "tcp://127.0.0.1:0"
            [services.talk]
            command = {{Probing}}
            sockets = ["chat"]
            start = "connection"
            """);
        IPEndPoint address = await supervisor.Address("chat");
        using Socket client = new(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(address);
        Happening spoken = await supervisor.Event("notified", "talk");
        JsonElement audit = supervisor.Said("said", "audit").Single();
        Dictionary<string, string> environment = Environment(audit);

        Assert.Equal([0, 1, 2, 3, 4], Inherited(audit).Select(d => d.GetProperty("number").GetInt32()));
        Assert.False(Descriptor(audit, 3).GetProperty("socket").GetProperty("listening").GetBoolean());
        Assert.False(Descriptor(audit, 3).GetProperty("nonblocking").GetBoolean());
        Assert.Equal("connection", environment["LISTEN_FDNAMES"]);
        Assert.Equal($"{spoken.Pid}", environment["LISTEN_PID"]);
        Assert.Equal("127.0.0.1", environment["REMOTE_ADDR"]);
        Assert.Equal($"{((IPEndPoint)client.LocalEndPoint!).Port}", environment["REMOTE_PORT"]);
        Assert.True(ulong.Parse(environment["SO_COOKIE"]) > 0);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task InetdsWay_TheConnectionIsInputAndOutput()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [sockets.chat]
            listen = "tcp://127.0.0.1:0"
            [services.talk]
            command = ["/bin/sh", "-c", "read word; echo you said $$word; env | grep ^LISTEN_; ls /proc/self/fd"]
            sockets = ["chat"]
            start = "connection"
            input = "socket"
            output = "socket"
            """);

        string answer = await Supervisor.Ask(await supervisor.Address("chat"), "hello\n");

        // 3 is the channel, and the last one is ls's own, on the directory that it reads.
        Assert.Equal("you said hello\n0\n1\n2\n3\n4\n", answer);
        _ = await supervisor.Event("exited", "talk");
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task InetdsWay_FilesAreStillPassedFromThreeOn()
    {
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [sockets.asked]
            listen = "udp://127.0.0.1:0"
            [files.notes]
            path = "notes"
            open = "append"
            create = "0640"
            [services.wait]
            command = {{Probing}}
            sockets = ["asked"]
            files = ["notes"]
            input = "socket"
            ready = "notify"
            """);
        _ = await supervisor.Event("ready", "wait");
        JsonElement audit = supervisor.Said("said", "audit").Single();

        Assert.Equal([0, 1, 2, 3, 4], Inherited(audit).Select(d => d.GetProperty("number").GetInt32()));
        Assert.Equal(2, Descriptor(audit, 0).GetProperty("socket").GetProperty("type").GetInt32());
        Assert.Equal(supervisor.Scratch.At("notes"), Descriptor(audit, 3).GetProperty("target").GetString());
        Assert.Equal("1", Environment(audit)["LISTEN_FDS"]);
        Assert.Equal("notes", Environment(audit)["LISTEN_FDNAMES"]);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task StoredDescriptorsComeLast_ToTheInstanceAfterAKill()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [sockets.http]
            listen = "tcp://127.0.0.1:0"
            [services.app]
            command = ["${DOTNET}", "${PROBE}", "--to", "said", "--audit",
              "--read-fd", "state", "--store-fd", "state", "--barrier", "--ready"]
            sockets = ["http"]
            fd_store = 1
            backoff = { initial = "1ms" }
            """);
        Happening first = await supervisor.Event("ready", "app");

        Living.Signal(first.Pid, Living.SIGKILL);

        _ = await supervisor.Event("ready", "app", nth: 2);
        JsonElement second = supervisor.Said("said", "audit")[1];
        Assert.Equal([0, 1, 2, 3, 4, 5], Inherited(second).Select(d => d.GetProperty("number").GetInt32()));
        Assert.Equal("http:state", Environment(second)["LISTEN_FDNAMES"]);
        Assert.Equal($"stored by {first.Pid}\n", supervisor.Said("said", "content")[1].GetProperty("text").GetString());
        Assert.Equal("1", Environment(second)["LAUNCHD_GENERATION"]);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [InlineData("", "0000000000001000")]
    [InlineData("ignore_sigpipe = false", "0000000000000000")]
    public async Task SignalsAreAtTheirDefaults(string keys, string ignored)
    {
        await using Supervisor supervisor = Supervisor.StartText($"""
            [services.app]
            command = ["cat", "/proc/self/status"]
            output = "file:out"
            restart = "never"
            {keys}
            """);
        _ = await supervisor.Event("exited", "app");

        Assert.Equal(
            ["SigBlk:\t0000000000000000", $"SigIgn:\t{ignored}", "SigCgt:\t0000000000000000"],
            File.ReadLines(supervisor.Scratch.At("out")).Where(l => l.StartsWith("Sig", StringComparison.Ordinal) && "BIC".Contains(l[3])));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task TheLimitOfDescriptorsIsTheOneThatTheSupervisorWasGiven()
    {
        using Scratch scratch = new();
        _ = scratch.Write("config.toml", Supervisor.WithRuntimeDirectory("""
            [services.app]
            command = ["/bin/sh", "-c", "ulimit -Sn; ulimit -Hn"]
            output = "file:out"
            restart = "never"
            """));
        await using Command run = Command.Start(
            // By a shell that stays: a runtime that is not compiled in raises its own limit before anything of ours runs.
            ["/bin/sh", "-c", "ulimit -Sn 500 && ulimit -Hn 4000 && \"$0\" \"$@\"; exit $?",
                .. Repository.LaunchdCommand, "run", "config.toml",
                "--exit-with", "app"], scratch.FolderPath);

        Assert.Equal(0, await run.Exit());

        Assert.Equal("500\n4000\n", File.ReadAllText(scratch.At("out")));
    }

    // As systemd starts it, for root: without HOME, for which many programs ask.
    [FactWhenTool("getent")]
    public async Task WithoutAHome_ServicesHaveThatOfTheUser()
    {
        using Scratch scratch = new();
        _ = scratch.Write("config.toml", Supervisor.WithRuntimeDirectory("""
            [services.app]
            command = ["/bin/sh", "-c", "[ \"$$HOME\" = \"$$(getent passwd $$(id -u) | cut -d: -f6)\" ]"]
            restart = "never"
            """));
        await using Command run = Command.Start(
            ["env", "-u", "HOME", .. Repository.LaunchdCommand, "run", "config.toml", "--exit-with", "app"], scratch.FolderPath);

        Assert.Equal(0, await run.Exit());
    }

    [FactWhenRoot]
    public async Task AnotherUsersServiceIsWhollyThatUser()
    {
        const string look = "id -u; id -g; id -G; echo $$USER $$HOME; grep ^Cap /proc/self/status | cut -f2 | sort -u; "
            + "echo x > /dev/stderr; ls /proc/self/fd";
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.app]
            command = ["/bin/sh", "-c", "{{look}}"]
            output = "file:/tmp/lcs-audit-user"
            error = "log"
            restart = "never"
            working_directory = "/"
            user = "nobody"
            """);
        try
        {
            Happening exited = await supervisor.Event("exited", "app");
            string[] lines = File.ReadAllLines("/tmp/lcs-audit-user");

            Assert.Equal(0, exited.Number("code"));
            Assert.Equal("65534", lines[0]);
            Assert.Equal(lines[1], lines[2]);
            Assert.StartsWith("nobody ", lines[3], StringComparison.Ordinal);
            Assert.Equal("0000000000000000", lines[4]);
            Assert.Equal(["0", "1", "2", "3", "4"], lines[^5..]);
            Assert.Equal(0, await supervisor.Stop());
        }
        finally
        {
            File.Delete("/tmp/lcs-audit-user");
        }
    }

    private static IEnumerable<JsonElement> Inherited(JsonElement audit) =>
        audit.GetProperty("descriptors").EnumerateArray().Where(d => d.GetProperty("inherited").GetBoolean());

    private static JsonElement Descriptor(JsonElement audit, int number) =>
        Inherited(audit).Single(d => d.GetProperty("number").GetInt32() == number);

    private static Dictionary<string, string> Environment(JsonElement audit) =>
        audit.GetProperty("environment").EnumerateObject().ToDictionary(p => p.Name, p => p.Value.GetString()!);

    private static string Kind(string target) =>
        target.StartsWith("/memfd:", StringComparison.Ordinal) ? "/memfd"
            : target.IndexOf(":[", StringComparison.Ordinal) is > 0 and int colon ? target[..colon] : target;
}
