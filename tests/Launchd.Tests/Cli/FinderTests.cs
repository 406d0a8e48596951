using System.Net.Sockets;
using Launchd.Control;
using Xunit;

namespace Launchd.Tests.Cli;

public sealed class FinderTests
{
    [Fact]
    public void NoneRuns_SaysWhatToDo()
    {
        using CliHarness cli = new();

        Assert.Equal(
            new CliResult(69, "", "launchd-cs: no supervisor is running; start one with 'launchd-cs run FILE'\n"), cli.Run("status"));
    }

    [Fact]
    public void ASocketLeftBehind_IsNotARunningSupervisor()
    {
        using CliHarness cli = new();
        string directory = Directory.CreateDirectory(Path.Combine(cli.BaseDirectory, "old")).FullName;
        using (Socket left = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            left.Bind(new UnixDomainSocketEndPoint(Path.Combine(directory, "control.sock")));
            File.Copy("/dev/null", Path.Combine(directory, "supervisor.lock"));
        }
        Directory.CreateDirectory(Path.Combine(cli.BaseDirectory, "empty"));
        cli.Supervise(Samples.AllReady, ControlJson.Default.StatusReply);

        Assert.Equal(0, cli.Run("status").Code);
    }

    [Fact]
    public void SeveralRun_NamesThem_AndNameChooses()
    {
        using CliHarness cli = new();
        FakeSupervisor shop = cli.Supervise(Samples.AllReady, ControlJson.Default.StatusReply, "shop");
        FakeSupervisor mail = cli.Supervise(Samples.AllReady, ControlJson.Default.StatusReply, "mail");

        Assert.Equal(
            new CliResult(64, "", "launchd-cs: several supervisors are running (mail, shop); choose one with --name\n"), cli.Run("status"));
        Assert.Equal(0, cli.Run("status", "--name", "mail").Code);
        Assert.Equal(0, cli.Run("--name", "mail", "status").Code);
        Assert.Equal((2, 0), (mail.Calls.Count, shop.Calls.Count));
    }

    [Fact]
    public void SeveralRun_TheFileHereChooses()
    {
        using CliHarness cli = new();
        cli.Supervise(Samples.AllReady, ControlJson.Default.StatusReply, "shop");
        FakeSupervisor mail = cli.Supervise(Samples.AllReady, ControlJson.Default.StatusReply, "mail");
        File.WriteAllText(Path.Combine(cli.WorkingDirectory, "launchd.toml"), "name = \"mail\"\n[services.x]\ncommand = [\"x\"]\n");

        Assert.Equal(0, cli.Run("status").Code);
        Assert.Single(mail.Calls);
    }

    [Fact]
    public void TheFileHereMayNameARuntimeDirectoryOfItsOwn()
    {
        using CliHarness cli = new();
        using FakeSupervisor own = new(cli.WorkingDirectory, "run", (_, c) => c.Send(Samples.AllReady, ControlJson.Default.StatusReply));
        File.WriteAllText(Path.Combine(cli.WorkingDirectory, "launchd.toml"), "name = 'mail'\n[supervisor]\nruntime_directory = \"run\"\n");

        Assert.Equal(0, cli.Run("status").Code);
        Assert.Equal(0, cli.Run("status", "--name", "mail").Code);
    }

    [Fact]
    public void TheFileHereIsNotRunning_NamesItsSupervisor()
    {
        using CliHarness cli = new();
        File.WriteAllText(Path.Combine(cli.WorkingDirectory, "launchd.toml"), "[services.x]\ncommand = [\"x\"]\n");

        Assert.Equal(
            new CliResult(69, "", "launchd-cs: 'launchd' of launchd.toml is not running; start it with 'launchd-cs run'\n"),
            cli.Run("status"));
    }

    [Fact]
    public void AnUnknownName_ListsThoseThatRun()
    {
        using CliHarness cli = new();
        cli.Supervise(Samples.AllReady, ControlJson.Default.StatusReply, "shop");

        Assert.Equal(
            new CliResult(
                69, "", "launchd-cs: no supervisor named 'shpo' is running; running: shop; start it with 'launchd-cs run FILE'\n"),
            cli.Run("status", "--name", "shpo"));
    }

    [Fact]
    public void TheEnvironmentNamesTheRuntimeDirectory_AndNothingElseIsTried()
    {
        using CliHarness cli = new();
        cli.Supervise(Samples.AllReady, ControlJson.Default.StatusReply, "shop");
        FakeSupervisor mail = cli.Supervise(Samples.AllReady, ControlJson.Default.StatusReply, "mail");

        cli.SetEnvironment("LAUNCHD_RUNTIME_DIRECTORY", mail.RuntimeDirectory);
        Assert.Equal(0, cli.Run("status").Code);
        Assert.Single(mail.Calls);

        cli.SetEnvironment("LAUNCHD_RUNTIME_DIRECTORY", "/nonexistent");
        CliResult result = cli.Run("status");
        Assert.Equal(69, result.Code);
        Assert.Contains("no supervisor answers in /nonexistent, which LAUNCHD_RUNTIME_DIRECTORY names; start it", result.Error);
    }
}
