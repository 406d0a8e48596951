using System.Net;
using System.Net.Sockets;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.AcceptanceTests;

/// <summary>How <c>run</c> begins and ends: its exit codes are what scripts and orchestrators see of it.</summary>
public sealed class RunTests
{
    private const int Usage = 64;
    private const int SystemRefused = 71;
    private const int BadConfiguration = 78;

    [Fact]
    public async Task AnUnknownVerbIsWrongUsage()
    {
        await using Command command = Command.Launchd(["frobnicate"]);

        Assert.Equal(Usage, await command.Exit());
        Assert.Contains("frobnicate", command.Errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task AWrongConfigurationIsRefusedWithItsPlace_BeforeAnythingStarts()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [sockets.http]
            listen = "tcp://127.0.0.1:99999"

            [services.web]
            comand = ["true"]
            """);

        Assert.Equal(BadConfiguration, await supervisor.Ended());
        // All of them at once, each with its line: one was added at the top.
        Assert.Contains("config.toml:3:10: error LD", supervisor.Errors.ToString(), StringComparison.Ordinal);
        Assert.Contains("config.toml:6:1: error LD", supervisor.Errors.ToString(), StringComparison.Ordinal);
        Assert.Contains("command", supervisor.Errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task APortInUseIsRefusedByName()
    {
        using TcpListener holder = new(IPAddress.Loopback, 0);
        holder.Start();
        int port = ((IPEndPoint)holder.LocalEndpoint).Port;
        await using Supervisor supervisor = Supervisor.StartText($"""
            [sockets.http]
            listen = "tcp://127.0.0.1:{port}"

            [services.web]
            command = ["sleep", "2147483647"]
            sockets = ["http"]
            """);

        Assert.Equal(SystemRefused, await supervisor.Ended());
        Assert.Contains($"127.0.0.1:{port}", supervisor.Errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task SigtermStopsServicesInReverseOrder_AndIsASuccess()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.base]
            command = ["${DOTNET}", "${PROBE}", "--ready"]
            ready = "notify"

            [services.top]
            command = ["${DOTNET}", "${PROBE}", "--ready", "--drain", "200ms"]
            ready = "notify"
            requires = ["base"]
            after = ["base"]
            """);
        _ = await supervisor.Event("ready", "top");

        Assert.Equal(0, await supervisor.Stop());

        string[] ended = [.. supervisor.Events.All().Where(e => e.Kind == "exited").Select(e => e.Service!)];
        Assert.Equal(["top", "base"], ended);
    }

    [Fact]
    public async Task AServiceThatIgnoresSigtermIsKilledAtItsTimeout()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.deaf]
            command = ["${DOTNET}", "${PROBE}", "--ignore-term", "--ready"]
            ready = "notify"
            stop_timeout = "300ms"
            """);
        _ = await supervisor.Event("ready", "deaf");

        Assert.Equal(0, await supervisor.Stop());
        Assert.Contains("KILL", (await supervisor.Event("exited", "deaf")).Text("signal") ?? "", StringComparison.Ordinal);
    }

    [Fact]
    public async Task WhatAServiceLeftBehindIsKilledWithIt()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.parent]
            command = ["${DOTNET}", "${PROBE}", "--fork-daemon", "--fork-child", "--ready"]
            ready = "notify"
            """);
        _ = await supervisor.Event("ready", "parent");

        // The end is checked there: no process that works in the scratch folder is left.
        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [InlineData("exit 7", 7)]
    [InlineData("exit 0", 0)]
    [InlineData("kill -KILL $$$$", 137)]
    public async Task ExitWithTakesTheServicesOwnCode_AndStopsTheOthers(string script, int expected)
    {
        await using Supervisor supervisor = Supervisor.StartText(
            $"""
            [services.app]
            command = ["/bin/sh", "-c", "{script}"]
            restart = "never"
            after = ["other"]

            [services.other]
            command = ["sleep", "2147483647"]
            """,
            environment: null,
            "--exit-with", "app");

        Assert.Equal(expected, await supervisor.Ended());
    }
}
