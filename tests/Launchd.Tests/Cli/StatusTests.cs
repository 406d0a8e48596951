using System.Text.Json;
using Launchd.Control;
using Xunit;

namespace Launchd.Tests.Cli;

public sealed class StatusTests
{
    [Fact]
    public void APipeGetsTheWholeTable_WithoutColour()
    {
        using CliHarness cli = new();
        cli.Supervise(Samples.Status, ControlJson.Default.StatusReply);

        CliResult result = cli.Run("status");

        Assert.Equal("""
            shop: running for 1d 2h, pid 4711, version 0.1.0, /etc/shop/launchd.toml
            dropped since the start: log-lines 17, notifications 2

            SERVICE  STATE        SLOT  GEN   PID  UPTIME  RESTARTS  SOCKETS     STATUS
            cache    backing-off     0    1     -       -         3  -           retry in 2s; exited with code 1 after 12 ms
            db       ready           0    1  4712  3m 12s         0  pg          accepting \x1b[31mconnections; 1 descriptor stored
            report   stopped         -    -     -       -         0  -
            web      starting      1/2    3                       4  http,admin
              web.0  ready           0    3  4800     12s
              web.0  draining        0    2  4750   2h 5m                        finishing 3 requests
              web.1  starting        1    3  4801      0s

            SOCKET         ADDRESS                QUEUE  SERVICES
            http           tcp://127.0.0.1:8080  0/4096  web
            pg (postgres)  unix:/run/pg.sock      2/128  db
            log            udp://127.0.0.1:514        -

            """, result.Output);
        Assert.Equal("", result.Error);
        Assert.Equal(3, result.Code);
    }

    [Fact]
    public void ANarrowTerminalGetsTheTextBelowTheRow_AndNoLineIsWider()
    {
        using CliHarness cli = new() { Columns = 70 };
        cli.Supervise(Samples.Status, ControlJson.Default.StatusReply);

        CliResult result = cli.Run("status");

        Assert.Equal("""
            shop: running for 1d 2h, pid 4711, version 0.1.0, /etc/shop/launchd.t…
            dropped since the start: log-lines 17, notifications 2

            SERVICE  STATE        SLOT  GEN   PID  UPTIME  RESTARTS  SOCKETS
            cache    backing-off     0    1     -       -         3  -
                retry in 2s; exited with code 1 after 12 ms
            db       ready           0    1  4712  3m 12s         0  pg
                accepting \x1b[31mconnections; 1 descriptor stored
            report   stopped         -    -     -       -         0  -
            web      starting      1/2    3                       4  http,admin
              web.0  ready           0    3  4800     12s
              web.0  draining        0    2  4750   2h 5m
                finishing 3 requests
              web.1  starting        1    3  4801      0s

            SOCKET         ADDRESS                QUEUE  SERVICES
            http           tcp://127.0.0.1:8080  0/4096  web
            pg (postgres)  unix:/run/pg.sock      2/128  db
            log            udp://127.0.0.1:514        -

            """, result.Output);
        Assert.All(result.Output.Split('\n'), line => Assert.True(line.Length <= 70, line));
    }

    [Fact]
    public void AWideColourTerminalPaintsStates_AndTextsOfServicesCannot()
    {
        using CliHarness cli = new() { Columns = 120, HasColour = true };
        cli.Supervise(Samples.Status, ControlJson.Default.StatusReply);

        string output = cli.Run("status").Output;

        Assert.Contains("\e[32mready\e[0m", output);
        Assert.Contains("\e[33mbacking-off\e[0m", output);
        Assert.Contains(@"accepting \x1b[31mconnections", output);
        Assert.DoesNotContain("\e[31mconnections", output);
    }

    [Fact]
    public void JsonIsTheReplyAsItCame()
    {
        using CliHarness cli = new();
        cli.Supervise(Samples.Status, ControlJson.Default.StatusReply);

        CliResult result = cli.Run("status", "--json");

        Assert.EndsWith("}\n", result.Output);
        Assert.Single(result.Output.TrimEnd().Split('\n'));
        StatusReply read = JsonSerializer.Deserialize(result.Output, ControlJson.Default.StatusReply)!;
        Assert.Equal(
            JsonSerializer.Serialize(Samples.Status, ControlJson.Default.StatusReply),
            JsonSerializer.Serialize(read, ControlJson.Default.StatusReply));
    }

    [Fact]
    public void AllThatIsWantedIsReady_ExitsZero_ThoughAnotherIsStopped()
    {
        using CliHarness cli = new();
        cli.Supervise(Samples.AllReady, ControlJson.Default.StatusReply);

        Assert.Equal(0, cli.Run("status").Code);
    }

    [Theory]
    [InlineData("waiting", true, 0)] // for its first client
    [InlineData("waiting", false, 3)] // for what it requires
    [InlineData("starting", true, 0)] // one connection's instance among others
    [InlineData("failed", true, 3)] // the next client tries again, but the last one was not served
    [InlineData("backing-off", true, 3)]
    public void AServiceThatListensIsAsWanted_UnlessItsLastStartFailed(string state, bool isListening, int code)
    {
        using CliHarness cli = new();
        ServiceStatus echo = new()
        {
            Service = "echo", State = state, Wanted = true, Listening = isListening,
            Generation = 0, Restarts = 0, Sockets = ["echo"], Instances = [],
        };
        cli.Supervise(Samples.AllReady with { Services = [echo] }, ControlJson.Default.StatusReply);

        CliResult all = cli.Run("status");
        CliResult named = cli.Run("status", "echo");

        Assert.Equal((code, code), (all.Code, named.Code));
        string shown = isListening && state == "waiting" ? "listening" : state;
        Assert.Contains($"\necho     {shown} ", all.Output);
    }

    [Fact]
    public void AServiceWithNothingToReportShowsWhatItIs()
    {
        using CliHarness cli = new();
        ServiceStatus[] services = [.. Samples.Status.Services.Select(s => s with { Description = $"the {s.Service} of the shop" })];
        cli.Supervise(Samples.Status with { Services = services }, ControlJson.Default.StatusReply);

        string[] lines = cli.Run("status").Output.Split('\n');

        Assert.EndsWith("  the report of the shop", lines.Single(l => l.StartsWith("report", StringComparison.Ordinal)));
        Assert.EndsWith("  the web of the shop", lines.Single(l => l.StartsWith("web ", StringComparison.Ordinal)));
        Assert.EndsWith("; exited with code 1 after 12 ms", lines.Single(l => l.StartsWith("cache", StringComparison.Ordinal)));
    }

    [Fact]
    public void ANamedServiceThatIsStopped_ExitsThree_ThoughItIsNotWanted()
    {
        using CliHarness cli = new();
        StatusReply reply = Samples.AllReady with { Services = [.. Samples.Status.Services.Where(s => s.Service == "report")] };
        FakeSupervisor supervisor = cli.Supervise(reply, ControlJson.Default.StatusReply);

        Assert.Equal(3, cli.Run("status", "report").Code);
        Assert.Equal("report", supervisor.Calls.Single().Parameters!.Value.GetProperty("service").GetString());
    }

    [Fact]
    public void AnUnknownService_ExitsFour_WithAHint()
    {
        using CliHarness cli = new();
        cli.Supervise((_, c) => c.Refuse(ControlNames.NoSuchService, new ErrorDetail { Name = "wbe", Hint = "web" }));

        CliResult result = cli.Run("status", "wbe");

        Assert.Equal(new CliResult(4, "", "launchd-cs: no service is named 'wbe'; did you mean 'web'?\n"), result);
    }

    [Fact]
    public void AFieldOfANewerSupervisor_IsNoError()
    {
        using CliHarness cli = new();
        string text = JsonSerializer.Serialize(
            new ControlAnswer(JsonSerializer.SerializeToElement(Samples.AllReady, ControlJson.Default.StatusReply)),
            ControlJson.Default.ControlAnswer).Replace("\"version\":", "\"colour\":\"green\",\"version\":", StringComparison.Ordinal);
        cli.Supervise((_, c) => c.SendText(text + "\0"));

        Assert.Equal(0, cli.Run("status").Code);
    }

    [Fact]
    public void AWatchShowsEachChange_AndEndsWithTheSupervisor()
    {
        using CliHarness cli = new();
        int asked = 0;
        using SemaphoreSlim shown = new(0);
        cli.Supervise((call, c) =>
        {
            if (call.Method.EndsWith(".Events", StringComparison.Ordinal))
            {
                for (int i = 0; i < 2; i++)
                {
                    Assert.True(shown.Wait(TimeSpan.FromSeconds(60)));
                    c.Send(new EventsReply([]), ControlJson.Default.EventsReply, continues: true);
                }
                return true;
            }
            if (Interlocked.Increment(ref asked) > 2)
                return false;
            shown.Release();
            return c.Send(asked == 1 ? Samples.Status : Samples.AllReady, ControlJson.Default.StatusReply);
        });

        CliResult result = cli.Run("status", "--watch", "--json");

        string[] lines = result.Output.TrimEnd().Split('\n');
        Assert.Equal(2, lines.Length);
        Assert.Contains("\"starting\"", lines[0]);
        Assert.DoesNotContain("\"starting\"", lines[1]);
        Assert.Equal(69, result.Code);
        Assert.StartsWith("launchd-cs: the supervisor closed the connection", result.Error);
    }

    [Fact]
    public void AWatchOnATerminalGivesTheScreenBack_WhenInterrupted()
    {
        using CliHarness cli = new() { Columns = 100 };
        cli.Supervise((call, c) =>
        {
            if (call.Method.EndsWith(".Events", StringComparison.Ordinal))
                return true;
            c.Send(Samples.Status, ControlJson.Default.StatusReply);
            if (cli.Output.Contains("SERVICE", StringComparison.Ordinal))
                cli.Interruption.Cancel();
            return true;
        });

        CliResult result = cli.Run("status", "--watch");

        Assert.StartsWith("\e[?1049h\e[?25l\e[Hshop: running", result.Output);
        Assert.EndsWith("\e[J\e[?25h\e[?1049l", result.Output);
        Assert.Equal(0, result.Code);
    }
}
