using Launchd.Cli.Connecting;
using Launchd.Control;
using Xunit;

namespace Launchd.Tests.Cli;

public sealed class ControlClientTests
{
    [Fact]
    public void AnAnswerInManyPieces_AndSeveralInOne_AreReadApart()
    {
        using CliHarness cli = new();
        cli.Supervise((_, c) =>
        {
            foreach (char piece in """{"parameters":{"stopped":1},"continues":true}""")
                c.SendText(piece.ToString());
            return c.SendText("\0{\"parameters\":{\"stopped\":2},\"continues\":true}\0{\"parameters\":{\"stopped\":3}}\0");
        });
        using ControlClient client = Connect(cli);

        IEnumerable<ShutdownReply> replies = client.Stream(
            "Shutdown", new FilterRequest(), ControlJson.Default.FilterRequest, ControlJson.Default.ShutdownReply);

        Assert.Equal([1, 2, 3], replies.Select(r => r.Stopped));
    }

    [Fact]
    public void ALongAnswerIsRead_AndATooLongOneIsRefused()
    {
        using CliHarness cli = new();
        int mebibytes = 9;
        cli.Supervise((_, c) =>
        {
            LogLine line = new("2026-01-31T12:00:00.123456Z", "web", 0, new string('x', mebibytes << 20));
            return c.Send(new LogsReply([line]), ControlJson.Default.LogsReply);
        });

        Assert.Equal((9 << 20) + "2026-01-31 12:00:00.123 web.0 │ \n".Length, cli.Run("logs").Output.Length);

        mebibytes = 17;
        CliResult result = cli.Run("logs");
        Assert.Equal(new CliResult(1, "", "launchd-cs: the supervisor's answer is longer than 16 MiB; ask for one service\n"), result);
    }

    [Theory]
    [InlineData("not json\0")]
    [InlineData("null\0")]
    [InlineData("{\"parameters\":null}\0")]
    [InlineData("{\"parameters\":{\"supervisor\":1}}\0")]
    [InlineData("\0")]
    public void AnAnswerThatIsNone_IsSaidToBe(string answer)
    {
        using CliHarness cli = new();
        cli.Supervise((_, c) => c.SendText(answer));

        CliResult result = cli.Run("status");

        Assert.Equal(
            new CliResult(
                1, "", "launchd-cs: the supervisor's answer cannot be read: it is of another version than this command\n"), result);
    }

    [Fact]
    public void AClosedConnection_ExitsUnreachable()
    {
        using CliHarness cli = new();
        cli.Supervise((_, _) => false);

        CliResult result = cli.Run("status");

        Assert.Equal(69, result.Code);
        Assert.StartsWith("launchd-cs: the supervisor closed the connection; see", result.Error);
    }

    [Fact]
    public void ASupervisorThatDoesNotAnswer_ExitsTimedOut()
    {
        using CliHarness cli = new() { AnswerTimeout = TimeSpan.FromMilliseconds(50) };
        cli.Supervise((_, _) => true);

        CliResult result = cli.Run("status");

        Assert.Equal(75, result.Code);
        Assert.StartsWith("launchd-cs: the supervisor did not answer within", result.Error);
    }

    private static ControlClient Connect(CliHarness cli) =>
        ControlClient.Connect(Path.Combine(cli.BaseDirectory, "shop", "control.sock"), CancellationToken.None);
}
