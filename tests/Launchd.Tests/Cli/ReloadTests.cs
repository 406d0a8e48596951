using Launchd.Control;
using Xunit;

namespace Launchd.Tests.Cli;

/// <summary>What <c>reload</c> and <c>check --plan</c> print.</summary>
public sealed class ReloadTests
{
    private static readonly ReloadReply _reply = new()
    {
        Changes =
        [
            new("services.web", "changed", "new-generation", null,
                [new("command", "web --workers 4", "web --workers 8"), new("environment.TOKEN", "…", "…"), new("nice", null, "3")]),
            new("services.mail", "added", "starts", null, []),
            new("services.old", "removed", "stops", null, []),
            new("sockets.http", "changed", "in-place", null, [new("backlog", "128", "4096")]),
            new("sockets.www", "added", "takes-over", "http", []),
        ],
        UnchangedCount = 4,
    };

    [Fact]
    public void TheDifferenceAndTheVerdictsAreShown()
    {
        using CliHarness cli = new();
        cli.Supervise((_, c) => c.Send(_reply, ControlJson.Default.ReloadReply, continues: true)
            && c.Send(_reply with { Results = [new ServiceResult { Service = "web", Ok = true, State = "ready", ElapsedMs = 412 }] },
                ControlJson.Default.ReloadReply));

        CliResult result = cli.Run("reload");

        Assert.Equal("""
              ~ services.web   new instances take over
                  command            web --workers 4 → web --workers 8
                  environment.TOKEN  changed
                  nice               3
              + services.mail  is started
              - services.old   is stopped
              ~ sockets.http   in place, what runs goes on
                  backlog  128 → 4096
              + sockets.www    keeps the open socket of http

            2 added, 2 changed, 1 removed, 4 unchanged

            web: ready in 412 ms

            """, result.Output);
        Assert.Equal(0, result.Code);
    }

    [Fact]
    public void APlanSaysWhatWouldBe()
    {
        using CliHarness cli = new();
        FakeSupervisor supervisor = cli.Supervise(_reply with { Changes = _reply.Changes![..2] }, ControlJson.Default.ReloadReply);

        CliResult result = cli.Run("check", "next.toml", "--plan");

        Assert.Contains("new instances will take over\n", result.Output, StringComparison.Ordinal);
        Assert.EndsWith("\n1 to be added, 1 to be changed, 4 unchanged\n", result.Output, StringComparison.Ordinal);
        Assert.EndsWith("/next.toml\"}", supervisor.Calls.Single().Parameters!.Value.GetRawText(), StringComparison.Ordinal);
    }

    [Fact]
    public void NothingChangedIsSaid()
    {
        using CliHarness cli = new();
        cli.Supervise(new ReloadReply { Changes = [], UnchangedCount = 4, Results = [] }, ControlJson.Default.ReloadReply);

        Assert.Equal("nothing has changed\n", cli.Run("reload").Output);
    }

    [Fact]
    public void AWrongConfigurationShowsItsDiagnostics_LineByLine_AndNothingElseOfIt()
    {
        using CliHarness cli = new();
        cli.Supervise((_, c) => c.Refuse(ControlNames.BadConfiguration, new ErrorDetail
        {
            Text = "the configuration is wrong, nothing was changed\nweb.toml:1:1: error LD1001: bad\n  1 | \e[2Jx\n1 error",
        }));

        CliResult result = cli.Run("reload");

        Assert.Equal(78, result.Code);
        Assert.Equal(
            "launchd-cs: the configuration is wrong, nothing was changed\nweb.toml:1:1: error LD1001: bad\n  1 | \\x1b[2Jx\n1 error\n",
            result.Error);
    }

    [Fact]
    public void ARefusalEndsWithItsReason()
    {
        using CliHarness cli = new();
        cli.Supervise((_, c) =>
            c.Refuse(ControlNames.ReloadRefused, new ErrorDetail { Text = "not reloaded, nothing was changed: sockets.http: taken" }));

        CliResult result = cli.Run("reload");

        Assert.Equal((1, "launchd-cs: not reloaded, nothing was changed: sockets.http: taken\n"), (result.Code, result.Error));
    }
}
