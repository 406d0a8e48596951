using System.Text.Json;
using Launchd.Control;
using Xunit;

namespace Launchd.Tests.Cli;

public sealed class OrderTests
{
    private static readonly ServiceResult _ready = new() { Service = "web", Ok = true, State = "ready", ElapsedMs = 412 };

    private static readonly ServiceResult _failed = new()
    {
        Service = "cache", Ok = false, State = "failed", ElapsedMs = 1200, Text = "exited with code 1 before it was ready",
        Output = ["cannot bind: \e]0;evil\a", "giving up"],
    };

    [Fact]
    public void VerdictsAreOneLineEach_AndAFailureShowsItsLastOutput()
    {
        using CliHarness cli = new();
        FakeSupervisor supervisor = Ordered(cli, [_ready, _failed], new ServiceProgress("web", 0, "starting", null));

        CliResult result = cli.Run("start", "web", "cache");

        Assert.Equal("""
            web: ready in 412 ms
            cache: failed: exited with code 1 before it was ready
                cannot bind: \x1b]0;evil\x07
                giving up

            """, result.Output);
        Assert.Equal(1, result.Code);
        ControlCall call = supervisor.Calls.First();
        Assert.Equal("org.launchd-cs.Supervisor.Start", call.Method);
        Assert.True(call.More);
        Assert.Equal("""{"services":["web","cache"],"all":false,"wait":true}""", call.Parameters!.Value.GetRawText());
    }

    [Fact]
    public void ATerminalShowsALivingLine_WhichTheVerdictReplaces()
    {
        using CliHarness cli = new() { Columns = 80, HasColour = true };
        Ordered(cli, [_ready], new ServiceProgress("web", 0, "starting", null), new ServiceProgress("web", 0, "ready", "proving for 5s"));

        CliResult result = cli.Run("restart", "web");

        Assert.Equal(
            "web: \e[33mstarting\e[0m slot 0 …\n"
            + "\e[1A\r\e[Jweb: \e[32mready\e[0m slot 0 (proving for 5s) …\n"
            + "\e[1A\r\e[Jweb: \e[32mready\e[0m in 412 ms\n", result.Output);
        Assert.Equal(0, result.Code);
    }

    [Theory]
    [InlineData("""{"services":["web"],"all":false,"wait":true,"update":"overlap"}""", "restart", "web", "--overlap")]
    [InlineData("""{"services":["web"],"all":false,"wait":true,"update":"replace"}""", "restart", "web", "--replace")]
    [InlineData("""{"services":[],"all":true,"wait":false}""", "stop", "--all", "--no-wait")]
    [InlineData("""{"services":["web","w*"],"all":false,"wait":true,"signal":"SIGHUP"}""", "signal", "hup", "web", "w*")]
    public void OptionsTravelInTheRequest(string expected, params string[] arguments)
    {
        using CliHarness cli = new();
        FakeSupervisor supervisor = Ordered(cli, [_ready]);

        Assert.Equal(0, cli.Run(arguments).Code);
        Assert.Equal(expected, supervisor.Calls.First().Parameters!.Value.GetRawText());
    }

    [Theory]
    [InlineData("web: SIGUSR1 sent\n", "signal", "USR1", "web")]
    [InlineData("web: reloaded in 412 ms\n", "reload-service", "web")]
    [InlineData("web: ready, not waiting\n", "restart", "web", "--no-wait")]
    public void EachOrderHasItsVerdict(string expected, params string[] arguments)
    {
        using CliHarness cli = new();
        Ordered(cli, [_ready]);

        Assert.Equal(expected, cli.Run(arguments).Output);
    }

    [Theory]
    [InlineData("launchd-cs: web: the configuration has changed since it was read; 'launchd-cs reload' takes the changes over, "
        + "'launchd-cs check --plan' shows them\n", "services.web")]
    [InlineData("", "services.cache")]
    [InlineData("", "sockets.web")]
    [InlineData("launchd-cs: the configuration has changed since it was read, and is wrong; 'launchd-cs check --plan' says what\n", "")]
    public void WhoHasEditedTheFileIsTold_ThatOnlyAReloadReadsIt(string sentence, string table)
    {
        using CliHarness cli = new();
        cli.Supervise((call, c) => !call.Method.EndsWith(".Plan", StringComparison.Ordinal)
            ? c.Send(new ServicesReply { Results = [_ready] }, ControlJson.Default.ServicesReply)
            : table.Length == 0 ? c.Refuse(ControlNames.BadConfiguration, new ErrorDetail())
            : c.Send(new ReloadReply { Changes = [new(table, "changed", "new-generation", null, [])] }, ControlJson.Default.ReloadReply));

        Assert.Equal(new CliResult(0, "web: ready in 412 ms\n", sentence), cli.Run("restart", "web"));
        Assert.Equal("", cli.Run("restart", "web", "--json").Error);
        Assert.Equal("", cli.Run("stop", "web").Error);
    }

    [Fact]
    public void JsonIsTheFinalReplyAlone()
    {
        using CliHarness cli = new();
        Ordered(cli, [_failed], new ServiceProgress("cache", 0, "starting", null));

        CliResult result = cli.Run("start", "cache", "--json");

        ServicesReply reply = JsonSerializer.Deserialize(result.Output, ControlJson.Default.ServicesReply)!;
        Assert.Equal("cannot bind: \e]0;evil\a", reply.Results!.Single().Output![0]);
        Assert.Equal(1, result.Code);
    }

    [Fact]
    public void NothingThatMatches_IsSaid()
    {
        using CliHarness cli = new();
        Ordered(cli, []);

        Assert.Equal(new CliResult(0, "no service matches: nothing to do\n", ""), cli.Run("stop", "--all"));
    }

    [Fact]
    public void AnInterruptedWait_SaysThatTheSupervisorGoesOn()
    {
        using CliHarness cli = new() { Columns = 80 };
        cli.Supervise((_, c) =>
        {
            c.Send(new ServicesReply { Progress = new ServiceProgress("web", 0, "draining", null) },
                ControlJson.Default.ServicesReply, continues: true);
            cli.Interruption.Cancel();
            return true;
        });

        CliResult result = cli.Run("stop", "web");

        Assert.Equal(1, result.Code);
        Assert.Equal("launchd-cs: no longer waiting; the supervisor goes on with the stop: see 'launchd-cs status'\n", result.Error);
    }

    [Theory]
    [InlineData(77, "launchd-cs: only root and uid 1000 may stop services\n",
        ControlNames.NotPermitted, "only root and uid 1000 may stop services")]
    [InlineData(1, "launchd-cs: the supervisor is shutting down and takes no orders\n", ControlNames.ShuttingDown, null)]
    [InlineData(1, "launchd-cs: the running supervisor does not know this order; it is older than this command\n",
        ControlNames.MethodNotFound, null)]
    public void ARefusalBecomesASentenceAndACode(int code, string sentence, string error, string? text)
    {
        using CliHarness cli = new();
        cli.Supervise((_, c) => c.Refuse(error, new ErrorDetail { Text = text }));

        Assert.Equal(new CliResult(code, "", sentence), cli.Run("stop", "web"));
    }

    [Fact]
    public void ShutdownSaysHowManyEnded()
    {
        using CliHarness cli = new();
        FakeSupervisor supervisor = cli.Supervise(new ShutdownReply(3), ControlJson.Default.ShutdownReply);

        Assert.Equal(new CliResult(0, "shut down: 3 services stopped\n", ""), cli.Run("shutdown"));
        Assert.Equal("{}", supervisor.Calls.Single().Parameters!.Value.GetRawText());
    }

    [Fact]
    public void WhatIsLeftAfterAShutdownCannotPlayWithTheTerminal()
    {
        using CliHarness cli = new();
        cli.Supervise(new ShutdownReply(1, ["pid 7 of web (\e[31mred\u202e) is alive"]), ControlJson.Default.ShutdownReply);

        Assert.Equal(
            new CliResult(1, "shut down: 1 service stopped\n", "launchd-cs: pid 7 of web (\\x1b[31mred\\u202e) is alive\n"),
            cli.Run("shutdown"));
    }

    private static FakeSupervisor Ordered(CliHarness cli, ServiceResult[] results, params ServiceProgress[] progress) =>
        cli.Supervise((_, c) =>
        {
            foreach (ServiceProgress step in progress)
                c.Send(new ServicesReply { Progress = step }, ControlJson.Default.ServicesReply, continues: true);
            return c.Send(new ServicesReply { Results = results }, ControlJson.Default.ServicesReply);
        });
}
