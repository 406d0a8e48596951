using Launchd.Config.Diagnostics;
using Launchd.Config.Loading;
using Launchd.Config.Showing;
using Xunit;

namespace Launchd.Tests.Config;

public sealed class CrossCheckTests
{
    private const string Http = "[sockets.http]\nlisten = \"tcp://127.0.0.1:80\"\n";

    [Fact]
    public void ACycleIsPrintedAsAPathAndOnlyOnce()
    {
        ConfigResult result = Reading.Read(
            "[services.a]\ncommand = [\"a\"]\nrequires = [\"b\"]\nafter = [\"b\"]\n[services.b]\ncommand = [\"b\"]\n"
            + "[services.c]\ncommand = [\"c\"]\nbefore = [\"b\"]\nafter = [\"a\"]\n");

        Assert.Equal("LD1302 services.c.after: services wait for each other: a -> b -> c -> a", Reading.Headers(result));
    }

    [Fact]
    public void ALongCycleIsToldByItsEnds()
    {
        string text =
            string.Concat(Enumerable.Range(0, 5000).Select(i => $"[services.s{i}]\ncommand = [\"x\"]\nafter = [\"s{(i + 1) % 5000}\"]\n"));

        string path = Reading.Headers(Reading.Read(text));

        Assert.StartsWith("LD1302 services.s4999.after: services wait for each other: s0 -> s1 -> ", path, StringComparison.Ordinal);
        Assert.Contains(" -> s7 -> (4984 more) -> s4992 -> ", path, StringComparison.Ordinal);
        Assert.EndsWith(" -> s4999 -> s0", path, StringComparison.Ordinal);
    }

    [Fact]
    public void ACircleOfWantsIsNoCycle() => Assert.Equal(
        "", Reading.Headers(Reading.Read(
            "[services.a]\ncommand = [\"x\"]\nwants = [\"b\", \"a\"]\n[services.b]\ncommand = [\"x\"]\nrequires = [\"a\"]\n")));

    [Theory]
    [InlineData("tcp://0.0.0.0:80", "tcp://[::]:80", "",
        "tcp://[::]:80 covers tcp://0.0.0.0:80 of sockets.a, and cannot be opened beside it")]
    [InlineData("tcp://[::]:80", "tcp://0.0.0.0:80", "",
        "tcp://0.0.0.0:80 cannot be opened beside tcp://[::]:80 of sockets.a, which covers it")]
    [InlineData("udp://[::]:80", "udp://127.0.0.1:80", "",
        "udp://127.0.0.1:80 cannot be opened beside udp://[::]:80 of sockets.a, which covers it")]
    [InlineData("tcp://*:80", "tcp://127.0.0.1:80", "",
        "tcp://127.0.0.1:80 cannot be opened beside tcp://*:80 of sockets.a, which covers it")]
    [InlineData("tcp://[::1]:80", "tcp://*:80", "", "tcp://*:80 covers tcp://[::1]:80 of sockets.a, and cannot be opened beside it")]
    [InlineData("tcp://0.0.0.0:80", "tcp://127.0.0.1:80", "shards = 2",
        "tcp://127.0.0.1:80 cannot be opened beside tcp://0.0.0.0:80 of sockets.a, which covers it")]
    public void AnAddressThatAnotherOneCoversIsToldBeforeTheKernelRefusesIt(string first, string second, string more, string problem)
    {
        string text = Reading.Headers(Reading.Read(TwoSockets(first, "", second, more)));

        Assert.Equal($"LD1303 sockets.b.listen: {problem}", text);
    }

    [Theory]
    [InlineData("tcp://0.0.0.0:80", "", "tcp://[::]:80", "ipv6_only = true")]
    [InlineData("tcp://0.0.0.0:80", "shards = 2", "tcp://127.0.0.1:80", "shards = 2")]
    [InlineData("tcp://0.0.0.0:80", "bind_to_device = \"lo\"", "tcp://127.0.0.1:80", "bind_to_device = \"eth0\"")]
    [InlineData("tcp://0.0.0.0:80", "", "udp://0.0.0.0:80", "")]
    [InlineData("tcp://0.0.0.0:0", "", "tcp://[::]:0", "")]
    [InlineData("tcp://127.0.0.1:80", "", "tcp://[::1]:80", "")]
    public void AddressesThatTheKernelOpensBesideEachOtherAreNotRefused(
        string first, string settings, string second, string more) =>
        Assert.Equal("", Reading.Headers(Reading.Read(TwoSockets(first, settings, second, more))));

    private static string TwoSockets(string first, string settings, string second, string more) => $"""
        [sockets.a]
        listen = "{first}"
        {settings}
        [sockets.b]
        listen = "{second}"
        {more}
        [services.s]
        command = ["x"]
        sockets = ["a", "b"]
        """;

    [Fact]
    public void AChainOfTenThousandServicesIsNoCycle()
    {
        string text = string.Concat(Enumerable.Range(0, 10_000).Select(
            i => $"[services.s{i}]\ncommand = [\"x\"]\n" + (i > 0 ? $"after = [\"s{i - 1}\"]\n" : "")));

        Assert.NotNull(Reading.Read(text).Definition);
    }

    [Theory]
    [InlineData("requires = [\"wbe\"]", "LD1301 services.web.requires: there is no service 'wbe'")]
    [InlineData("files = [\"x\"]", "LD1301 services.web.files: there is no file 'x'")]
    [InlineData("start = \"connection\"", "LD1306 services.web.start: is started by traffic, but has no socket")]
    [InlineData("input = \"socket\"",
        "LD1306 services.web.input: 'socket' needs exactly one socket with one address, or start = \"connection\"")]
    [InlineData("log = { max_line = \"1000\" }", "LD1203 services.web.log.max_line: 1000 bytes are out of range 1024-1048576")]
    [InlineData("log = { max_line = \"2MiB\" }", "LD1203 services.web.log.max_line: 2097152 bytes are out of range 1024-1048576")]
    [InlineData("log = { keep = 3, max_line = \"1MiB\" }", "LD1106 services.web.log: the key 'path' is missing")]
    [InlineData("log = { path = \"/var/log/${generation}.log\" }", "LD1208 services.web.log.path: '${generation}' is not known here")]
    [InlineData("log = { path = \"/var/log/${slots}.log\" }", "LD1207 services.web.log.path: the environment variable 'slots' is not set")]
    [InlineData("working_directory = \"/srv/${slot}\"", "LD1208 services.web.working_directory: '${slot}' is not known here")]
    [InlineData("log = { path = \"a\", mode = \"0440\" }",
        "LD1203 services.web.log.mode: lets the owner write (0200), and is at most 0777")]
    [InlineData("log = { path = \"a\", mode = \"4640\" }",
        "LD1203 services.web.log.mode: lets the owner write (0200), and is at most 0777")]
    [InlineData("log = { mode = \"0640\", max_line = \"1KiB\" }", "LD1106 services.web.log: the key 'path' is missing")]
    [InlineData("log = { }", "LD1106 services.web.log: the key 'path' is missing")]
    [InlineData("log = { path = \"/dev/stdout\" }",
        "LD1213 services.web.log.path: /dev/stdout is the supervisor's own output, not a file")]
    [InlineData("log = { path = \"/proc/1/fd/2\" }",
        "LD1213 services.web.log.path: /proc/1/fd/2 is the supervisor's own output, not a file")]
    [InlineData("output = \"socket\"", "LD1306 services.web.output: 'socket' needs input = \"socket\" or start = \"connection\"")]
    [InlineData("terminal = true\nerror = \"log\"",
        "LD1213 services.web.error: with terminal = true the terminal is all three: input, output and error")]
    [InlineData("terminal = true\nlog = { path = \"/var/log/x\" }\nready = { output = \"x\" }", "")]
    [InlineData("ready = \"notify\"\nnotify_access = \"none\"",
        "LD1213 services.web.notify_access: 'none' leaves no way to send what 'ready' waits for")]
    [InlineData("ready = { descriptor = 3 }\nfd_store = 1",
        "LD1309 services.web.ready: descriptor 3 is one of those that the service is passed")]
    [InlineData("ready = { descriptor = 3, tcp = \"127.0.0.1:1\" }", "LD1213 services.web.ready.tcp: cannot stand beside 'descriptor'")]
    [InlineData("ready = { output = \"(a)\\\\1\" }", "LD1202 services.web.ready.output: cannot be matched in bounded time")]
    [InlineData("stop_signal = \"SIGTREM\"", "LD1202 services.web.stop_signal: there is no signal 'SIGTREM'")]
    [InlineData("output = \"/var/log/x\"", "LD1204 services.web.output: '/var/log/x' is not one of log, inherit, null, socket, file:/path")]
    [InlineData("limits = { nofile = \"9:5\" }", "LD1213 services.web.limits.nofile: the soft limit is above the hard one")]
    [InlineData("nice = -21", "LD1203 services.web.nice: -21 is out of range -20 to 19")]
    [InlineData("capabilities = [\"net_bind_servce\"]", "LD1204 services.web.capabilities: there is no capability 'net_bind_servce'")]
    public void AServiceThatContradictsItselfIsRefused(string keys, string problem) => Assert.Equal(problem, Reading.ProblemsOf(keys));

    [Theory]
    [InlineData("listen = \"inherited:s\"\nmark = 1", "LD1310 sockets.x.mark: has no effect on a socket that is inherited")]
    [InlineData("listen = \"inherited:s\"\nmode = \"0600\"",
        "LD1310 sockets.x.mode: has no effect without an address of a path or a queue")]
    [InlineData("listen = \"unix:/s\"\nno_delay = true", "LD1310 sockets.x.no_delay: has no effect without an address of tcp://")]
    [InlineData("listen = \"tcp://*:1\"\nmode = \"0600\"", "LD1310 sockets.x.mode: has no effect without an address of a path or a queue")]
    [InlineData("listen = [\"tcp://*:1\", \"unix:/s\"]\nshards = 2",
        "LD1310 sockets.x.shards: only tcp:// and udp:// addresses can be split into shards")]
    [InlineData("listen = \"tcp://*:1\"\nmax_connections = 3",
        "LD1310 sockets.x.max_connections: has no effect without a service with start = \"connection\"")]
    [InlineData("listen = [\"unix:/s\", \"fifo:/s\"]", "LD1303 sockets.x.listen: fifo:/s is taken already by sockets.x")]
    [InlineData("listen = [\"tcp://*:0\", \"tcp://*:0\"]", "")]
    public void ASocketThatCannotBeWhatItSaysIsReported(string keys, string problem) =>
        Assert.Equal(problem, Reading.ProblemsOf("sockets = [\"x\"]", "[sockets.x]\n" + keys));

    [Fact]
    public void AReferenceToATableOfABrokenFileIsNoError()
    {
        MemoryFiles files = new MemoryFiles()
            .Add(Reading.FilePath, "include = [\"s.toml\"]\n[services.web]\ncommand = [\"w\"]\nsockets = [\"http\"]")
            .Add("/etc/shop/s.toml", Http + "broken");

        Assert.Equal([DiagnosticCode.BadSyntax], ConfigReader.Read(Reading.Source(files)).Diagnostics.Select(d => d.Code));
    }

    [Fact]
    public void WarningsLeaveTheDefinition()
    {
        ConfigResult result = Reading.Read(
            Http + "[services.web]\ncommand = [\"w\"]\n"
            + "update = \"overlap\"\nrollout = { surge = 2 }\nfd_store_keep = \"always\"\n");

        Assert.Equal([1311], result.Diagnostics.Select(d => (int)d.Code));
        Assert.NotNull(result.Definition);
    }

    [Fact]
    public void TheGraphIsDrawnForBothPrograms()
    {
        Launchd.Model.SupervisorDefinition definition = Reading.Define(
            Http + "[files.log]\npath = \"/l\"\n"
            + "[services.web]\ncommand = [\"w\"]\nsockets = [\"http\"]\nfiles = [\"log\"]\nrequires = [\"db\"]\n"
            + "[services.db]\ncommand = [\"d\"]\n");

        Assert.Equal(
            """
            digraph "web" {
              rankdir=LR;
              "web" [shape=box];
              "db" [shape=box];
              "sockets.http" [shape=ellipse, label="http: tcp://127.0.0.1:80"];
              "files.log" [shape=note, label="log"];
              "web" -> "db" [label="requires"];
              "web" -> "sockets.http" [color=gray];
              "web" -> "files.log" [color=gray];
            }

            """,
            DependencyDrawing.ToDot(definition));
        Assert.Equal(
            """
            flowchart LR
              n0["web"]
              n1["db"]
              n2(["http: tcp://127.0.0.1:80"])
              n3[/"log"/]
              n0 -->|requires| n1
              n0 -->|uses| n2
              n0 -->|uses| n3

            """,
            DependencyDrawing.ToMermaid(definition));
        Assert.Equal("ok: 2 services, 1 socket, 1 file", ConfigSummary.Of(definition));
    }
}
