using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Times are shown as date(1) shows them, in whatever form the zone is given.</summary>
public sealed class LocalTimeTests
{
    [Theory]
    [InlineData("CST-8")]
    [InlineData("EST5EDT,M3.2.0,M11.1.0")]
    [InlineData("<+0330>-3:30")]
    [InlineData(":America/Sao_Paulo")]
    [InlineData("/usr/share/zoneinfo/Asia/Tokyo")]
    [InlineData("")]
    public async Task AnEventIsShownAtTheTimeThatDateTells(string zone)
    {
        Dictionary<string, string> environment = new() { ["TZ"] = zone };
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.a]
            command = ["sleep", "1000"]
            """, environment);
        string moment = (await supervisor.Event("supervisor-started")).Text("time")!;

        (_, string shown, _) = await supervisor.Verb("events");

        await using Command date = Command.Start(["date", "--date", moment, "+%Y-%m-%d %H:%M:%S"], environment: environment);
        Assert.Equal(0, await date.Exit());
        string expected = date.Output.ToString()!.Trim() + "." + moment.Split('.')[1][..3];
        string line = Assert.Single(shown.Split('\n'), l => l.Contains("supervisor-started", StringComparison.Ordinal)
            || l.Contains("runs as pid", StringComparison.Ordinal));
        Assert.StartsWith(expected, line.TrimStart(), StringComparison.Ordinal);
        // What `run` itself says has the time of day alone.
        string own = await supervisor.Errors.First(l => l.Contains("runs as pid", StringComparison.Ordinal), "the first line");
        Assert.Equal(expected[11..13], own[..2]);
        Assert.Equal(0, await supervisor.Stop());
    }
}
