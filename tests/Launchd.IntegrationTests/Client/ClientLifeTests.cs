using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Host;
using Xunit;

namespace Launchd.IntegrationTests.Client;

/// <summary>Programs that use the client library, under a real supervisor.</summary>
public sealed class ClientLifeTests
{
    private const string App = """{"services":["app"]}""";
    private static readonly Dictionary<string, string> Programs = new()
    {
        ["PROBE_DLL"] = Repository.Built("ClientProbe", "ClientProbe.dll"),
    };

    [Fact]
    public async Task WhatAnInstanceLeaves_TheNextOneFinds()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [sockets.http]
            listen = "tcp://127.0.0.1:0"
            [services.app]
            command = ["${DOTNET}", "${PROBE_DLL}", "service", "remember"]
            sockets = ["http"]
            ready = "notify"
            fd_store = 4
            """, Programs);
        _ = await supervisor.Event("ready", "app");
        string first = await Line(supervisor, "run 1 of app.0 inherited http:Listener got Listener at ");
        Assert.Contains(" listed 1", first, StringComparison.Ordinal);
        _ = await Line(supervisor, "told True");

        (int code, _, string errors) = await supervisor.Verb("restart", "app");

        Assert.True(code == 0, errors);
        _ = await Line(supervisor, "ends with nothing under way");
        string second = await Line(supervisor, "run 2 of app.0 inherited http:Listener,kept:Memory got Listener at ");
        Assert.Contains(" listed 2", second, StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>The long form, behind <c>LAUNCHD_LONG=1</c>, makes a million of each.</summary>
    [Fact]
    public async Task ManyRequestsLeaveNothing_OnEitherSide()
    {
        int count = Environment.GetEnvironmentVariable("LAUNCHD_LONG") == "1" ? 1_000_000 : 1_000;
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [sockets.http]
            listen = "tcp://127.0.0.1:0"
            [services.app]
            command = ["${DOTNET}", "${PROBE_DLL}", "service", "many"]
            environment = { COUNT = "{{count}}" }
            sockets = ["http"]
            ready = "notify"
            ready_timeout = "1h"
            fd_store = 4
            start = "manual"
            """, Programs);
        int pid = await supervisor.Pid();
        using ControlSocket control = await ControlSocket.To(supervisor);
        await Run(1);
        // What a slot keeps while it rests is there from the first run on.
        int before = Living.DescriptorCount(pid);

        await Run(2);

        await control.DescriptorsAtMost(pid, before + Living.DescriptorsOfBirthThreads);
        Assert.Equal(0, await supervisor.Stop());

        async Task Run(int nth)
        {
            Assert.True((await control.Call("Start", App)).GetProperty("results")[0].GetProperty("ok").GetBoolean());
            string text = $"rounds {count} left ";
            string line = await supervisor.Output.First(l => l.Contains(text, StringComparison.Ordinal), text, nth);
            Assert.Contains("left 0,", line, StringComparison.Ordinal);
            Assert.True((await control.Call("Stop", App)).GetProperty("results")[0].GetProperty("ok").GetBoolean());
        }
    }

    private static Task<string> Line(Supervisor supervisor, string text) =>
        supervisor.Output.First(l => l.Contains(text, StringComparison.Ordinal), text);
}
