using System.Net;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.AcceptanceTests;

/// <summary>Programs that know nothing of launchd-cs, each started as its own documentation wants it and asked one real thing.</summary>
public sealed class OutsideProgramTests
{
    [Fact]
    public async Task KestrelServesThroughTheInheritedSocket_StartedByTheFirstRequest()
    {
        await using Supervisor supervisor = Supervisor.StartCase("kestrel");
        IPEndPoint address = await supervisor.Address("http");

        string answer = await Supervisor.Get(address, "/hello");

        Assert.Contains("kestrel says /hello", answer, StringComparison.Ordinal);
        Assert.Equal("http", (await supervisor.Event("activated", "kestrel")).Text("socket"));
        Assert.Equal(0, await supervisor.Stop());
    }

    [NeedsToolFact("systemd-notify")]
    public async Task SystemdNotifyMakesAServiceReady_AndItsBarrierIsAnswered()
    {
        await using Supervisor supervisor = Supervisor.StartCase("systemd-notify");

        _ = await supervisor.Events.First(e => e.Kind == "notified" && e.Texts("lines").Contains("READY=1"), "READY=1");
        _ = await supervisor.Event("ready", "shell");
        _ = await supervisor.Output.First(l => l.EndsWith("│ barrier passed", StringComparison.Ordinal), "line after the barrier");
        _ = await supervisor.Event("ready", "later");
        (int code, string status, _) = await supervisor.Verb("status", "shell");

        Assert.Equal(0, code);
        Assert.Contains("at your service", status, StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task WhatRequiresAServiceIsNotStartedBeforeThatIsReady()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.slow]
            command = ["${DOTNET}", "${PROBE}", "--ready-after", "300ms"]
            ready = "notify"

            [services.user]
            command = ["sleep", "2147483647"]
            requires = ["slow"]
            after = ["slow"]
            """);
        _ = await supervisor.Event("ready", "user");

        string[] order = [.. supervisor.Events.All()
            .Where(e => e.Kind is "ready" or "spawned").Select(e => $"{e.Service} {e.Kind}")];

        Assert.Equal(["slow spawned", "slow ready", "user spawned", "user ready"], order);
        Assert.Equal(0, await supervisor.Stop());
    }

    [NeedsToolFact("python3")]
    public async Task APythonServerTellsItsSocketsApartByName()
    {
        await using Supervisor supervisor = Supervisor.StartCase("python");
        IPEndPoint web = await supervisor.Address("web");

        Assert.Equal("web: one", await Supervisor.Ask(web, "one"));
        Assert.Equal("admin: two", await Supervisor.Ask(supervisor.Scratch.At("admin.socket"), "two"));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(supervisor.Scratch.At("admin.socket")));

        Assert.Equal(0, await supervisor.Stop());
        Assert.False(File.Exists(supervisor.Scratch.At("admin.socket")), "the path of the socket is still there");
    }

    [NeedsToolFact("nginx")]
    public async Task NginxInheritsTheSocketByItsOwnVariable()
    {
        int port = LoopbackPort.Free();
        await using Supervisor supervisor = Supervisor.StartCase("nginx", scratch =>
        {
            foreach (string name in (string[])["config.toml", "nginx.conf"])
            {
                string text = File.ReadAllText(scratch.At(name));
                _ = scratch.Write(name, text.Replace("@PORT@", $"{port}").Replace("@HERE@", scratch.FolderPath));
            }
        });
        _ = await supervisor.Event("ready", "nginx");

        string answer = await Supervisor.Get(new IPEndPoint(IPAddress.Loopback, port), "/hello");

        Assert.Contains("nginx says /hello", answer, StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }
}
