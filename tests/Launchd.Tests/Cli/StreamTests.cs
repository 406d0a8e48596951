using System.Text.Json;
using Launchd.Cli.Surroundings;
using Launchd.Control;
using Xunit;

namespace Launchd.Tests.Cli;

public sealed class StreamTests
{
    private static readonly LogLine[] _lines =
    [
        new("2026-01-31T12:00:00.123456Z", "web", 0, "listening on 8080"),
        new("2026-01-31T12:00:01.000000Z", "db", 1, "\e[2Jwiped\r\n"),
        new("2026-01-31T12:00:01.000000Z", "db", 1, "long", "both"),
    ];

    private static readonly string[] _events =
    [
        """{"time":"2026-01-31T12:00:00.100000Z","event":"supervisor-started","reason":"fresh"}""",
        """{"time":"2026-01-31T12:00:00.123456Z","event":"spawned","service":"web","slot":0,"generation":3,"pid":4711}""",
        """{"time":"2026-01-31T12:00:00.500000Z","event":"exited","service":"web","slot":0,"generation":3"""
            + ""","signal":"SIGSEGV","core":true}""",
        """{"time":"2026-01-31T12:00:00.500001Z","event":"restarting","service":"web","slot":0,"delay_ms":400}""",
        """{"time":"2026-01-31T12:00:01.000000Z","event":"exec-failed","service":"cache","slot":1,"stage":"exec","errno":2}""",
        """{"time":"2026-01-31T12:00:02.000000Z","event":"reloaded","added":["a","b"],"changed":[],"removed":["\u001b[31mc"]}""",
    ];

    [Fact]
    public void LogLinesHaveTimeAndOrigin_AndNoSequenceGetsThrough()
    {
        using CliHarness cli = new();
        FakeSupervisor supervisor = cli.Supervise(new LogsReply(_lines), ControlJson.Default.LogsReply);

        CliResult result = cli.Run("logs", "-n", "5", "web");

        Assert.Equal("""
            2026-01-31 12:00:00.123 web.0 │ listening on 8080
            2026-01-31 12:00:01.000 db.1 │ \x1b[2Jwiped\r\n
            2026-01-31 12:00:01.000 db.1 │ [...] long [...]

            """, result.Output);
        Assert.Equal("""{"service":"web","lines":5,"follow":false}""", supervisor.Calls.Single().Parameters!.Value.GetRawText());
        Assert.True(supervisor.Calls.Single().More);
    }

    [Fact]
    public void JsonLogsAreOneObjectALine()
    {
        using CliHarness cli = new();
        cli.Supervise(new LogsReply(_lines), ControlJson.Default.LogsReply);

        string[] lines = cli.Run("logs", "--json").Output.TrimEnd().Split('\n');

        Assert.Equal(_lines, lines.Select(l => JsonSerializer.Deserialize(l, ControlJson.Default.LogLine)));
    }

    [Fact]
    public void FollowingShowsEachReplyAtOnce_SaysWhatWasLost_AndEndsInOrderWhenInterrupted()
    {
        using CliHarness cli = new();
        cli.Supervise((_, c) =>
        {
            c.Send(new LogsReply([_lines[0]]), ControlJson.Default.LogsReply, continues: true);
            c.Send(new LogsReply([_lines[0]], Lost: 7), ControlJson.Default.LogsReply, continues: true);
            cli.AwaitOutput(text => text.Split('\n').Length == 3);
            cli.Interruption.Cancel();
            return true;
        });

        CliResult result = cli.Run("logs", "--follow");

        Assert.Equal(0, result.Code);
        Assert.Equal("launchd-cs: 7 lines were lost here: they came faster than they were read\n", result.Error);
    }

    [Fact]
    public void AReaderThatHasGone_EndsTheVerbSilently()
    {
        using CliHarness cli = new() { OutputInstead = new GoneWriter() };
        cli.Supervise((_, c) => c.Send(new LogsReply(_lines), ControlJson.Default.LogsReply, continues: true));

        CliResult result = cli.Run("logs", "--follow");

        Assert.Equal((0, ""), (result.Code, result.Error));
    }

    [Fact]
    public void EventsAreOneLineEach()
    {
        using CliHarness cli = new();
        cli.Supervise(new EventsReply([.. _events.Select(e => JsonDocument.Parse(e).RootElement)]), ControlJson.Default.EventsReply);

        Assert.Equal("""
            2026-01-31 12:00:00.100 -            supervisor-started fresh
            2026-01-31 12:00:00.123 web.0        spawned            generation 3, pid 4711
            2026-01-31 12:00:00.500 web.0        exited             killed by SIGSEGV, core dumped, generation 3
            2026-01-31 12:00:00.500 web.0        restarting         in 400ms
            2026-01-31 12:00:01.000 cache.1      exec-failed        exec: No such file or directory
            2026-01-31 12:00:02.000 -            reloaded           added a b, changed none, removed \x1b[31mc

            """, cli.Run("events").Output);
    }

    [Fact]
    public void JsonEventsAreTheObjectsAsTheyCame()
    {
        using CliHarness cli = new();
        cli.Supervise(new EventsReply([.. _events.Select(e => JsonDocument.Parse(e).RootElement)]), ControlJson.Default.EventsReply);

        Assert.Equal(string.Join('\n', _events) + "\n", cli.Run("events", "--json").Output, ignoreCase: true);
    }

    [Fact]
    public void DescriptorsAreATable()
    {
        using CliHarness cli = new();
        cli.Supervise(
            new DescriptorsReply(
            [
                new DescriptorStatus
                {
                    Name = "http", Kind = "tcp-listener", Address = "127.0.0.1:8080",
                    Origin = "socket", Holders = ["web.0", "web.1"], QueueCount = 3,
                    Number = 12, Flags = ["listening", "non-blocking"],
                },
                new DescriptorStatus
                {
                    Name = "ring", Kind = "memory", Address = "64 MiB", Origin = "stored", Holders = [], Generation = 2, Number = 101,
                },
            ]),
            ControlJson.Default.DescriptorsReply);

        Assert.Equal("""
            NAME  KIND          ADDRESS         ORIGIN   FD  GEN  QUEUE  HOLDERS      MAY ASK  FLAGS
            http  tcp-listener  127.0.0.1:8080  socket   12    -      3  web.0,web.1  -        listening,non-blocking
            ring  memory        64 MiB          stored  101    2      -  -            -

            """, cli.Run("fds").Output);
    }

    [Fact]
    public void DoctorPrintsFindings_AndFailsWhenSomethingIsMissing()
    {
        using CliHarness cli = new()
        {
            Findings =
            [
                new Finding("pidfd_getfd", FindingLevel.Good, "works on children", ""),
                new Finding("Yama", FindingLevel.Limited, "ptrace_scope is 1", "siblings that are not children cannot be asked directly"),
                new Finding("cgroup v2", FindingLevel.Missing, "not mounted", "'cgroup' of services is refused"),
            ],
        };

        CliResult result = cli.Run("doctor");

        Assert.Equal("""
            good     pidfd_getfd  works on children
            limited  Yama         ptrace_scope is 1
                                  siblings that are not children cannot be asked directly
            missing  cgroup v2    not mounted
                                  'cgroup' of services is refused

            """, result.Output);
        Assert.Equal(1, result.Code);
        Assert.StartsWith(
            """[{"name":"pidfd_getfd","level":"Good",""", cli.Run("doctor", "--json").Output, StringComparison.OrdinalIgnoreCase);
    }

    /// <summary>A writer whose reader has closed the pipe.</summary>
    private sealed class GoneWriter : StringWriter
    {
        public override void Write(string? value) => throw new BrokenPipeException();
    }
}
