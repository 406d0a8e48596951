using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// Reloads that change what a service is given, and then fail: the service goes back to its former definition and finds all that
/// it had, whatever the configuration calls it by now.
/// </summary>
public sealed class FormerDefinitionTests
{
    private const string Good = "[\"${DOTNET}\", \"${PROBE}\", \"--greet\", \"good\", \"--echo\", \"--ready\"]";
    private const string Bad = "[\"${DOTNET}\", \"${PROBE}\", \"--exit\", \"3\"]";

    /// <summary>What the next configuration does to a socket or file of the service.</summary>
    private static readonly Dictionary<string, (string First, string Next)> Changes = new()
    {
        ["takes the file out"] = (Tables("http", "files = [\"settings\"]", "[files.settings]\nmemory = \"4KiB\""), Tables("http", "", "")),
        ["takes a file out that each instance opens"] = (
            Tables("http", "files = [\"settings\"]", "[files.settings]\npath = \"/dev/null\"\nreopen = true"), Tables("http", "", "")),
        ["makes the file another"] = (
            Tables("http", "files = [\"settings\"]", "[files.settings]\nmemory = \"4KiB\""),
            Tables("http", "files = [\"settings\"]", "[files.settings]\npath = \"/dev/null\"")),
        ["renames the socket"] = (Tables("http", "", ""), Tables("site", "", "")),
        ["gives the socket's name to another"] = (
            Tables("http", "", ""), Tables("site", "", "[sockets.http]\nlisten = \"unix:other.sock\"")),
        ["gives it a new socket in place"] = (
            Tables("http", "", ""), Tables("http", "", "").Replace("http.sock\"", "http.sock\"\nnon_blocking = true")),
    };

    public static TheoryData<string, string> Cases
    {
        get
        {
            TheoryData<string, string> cases = [];
            foreach (string change in Changes.Keys)
            {
                cases.Add(change, "replace");
                // The old instance never leaves its socket, and clients are led to the new one: nothing that a
                // former definition has brings them back.
                if (change != "gives it a new socket in place")
                    cases.Add(change, "overlap");
            }
            return cases;
        }
    }

    [Theory]
    [MemberData(nameof(Cases))]
    public async Task AReleaseThatFails_GoesBack_WhateverTheReloadChanged(string change, string update)
    {
        (string first, string next) = Changes[change];
        await using Supervisor supervisor = Supervisor.StartText(Service(first, Good, update));
        _ = await supervisor.Event("ready", "web");

        (int code, string output, string errors) = await supervisor.Change(Service(next, Bad, update));

        Assert.True(code != 0, output + errors);
        _ = await supervisor.Event("rolled-back", "web");
        Assert.Equal("ready", await State(supervisor));
        Assert.Equal("goodx", await Ask(supervisor));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task ASecondReloadWithinTheProof_GoesBackToWhatWasProven()
    {
        await using Supervisor supervisor = Supervisor.StartText(Service(Tables("http", "", ""), Good, "replace", prove: "2s"));
        _ = await supervisor.Event("ready", "web");
        _ = await supervisor.Change(Service(Tables("site", "", ""), Good, "replace", prove: "2s"), "--no-wait");
        _ = await supervisor.Event("ready", "web", 2);

        (int second, string said, _) = await supervisor.Change(Service(Tables("place", "", ""), Bad, "replace", prove: "2s"));

        Assert.True(second != 0, said);
        _ = await supervisor.Event("rolled-back", "web");
        Assert.Equal("ready", await State(supervisor));
        Assert.Equal("goodx", await Ask(supervisor));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task AnOldInstance_IsAnsweredOverItsChannel_WhateverItsSocketIsCalledByNow()
    {
        await using Supervisor supervisor =
            Supervisor.StartText(Service(Tables("http", "", ""), "[\"sleep\", \"2147483647\"]", "overlap", prove: "1h", ready: "spawned"));
        using ChannelPeer old = await ChannelPeer.Of(supervisor, "web");
        _ = await supervisor.Change(
            Service(Tables("site", "", ""), "[\"sleep\", \"2147483646\"]", "overlap", prove: "1h", ready: "spawned"), "--no-wait");
        _ = await supervisor.Event("spawned", "web", 2);

        JsonElement list = JsonElement.Parse(old.Call("List"));

        Assert.Equal("http", list.GetProperty("parameters").GetProperty("descriptors")[0].GetProperty("name").GetString());
        Assert.Equal(0, await supervisor.Stop());
    }

    private static string Tables(string socket, string keys, string others) => $"""
        [sockets.{socket}]
        listen = "unix:http.sock"
        {others}
        [services.web]
        sockets = ["{socket}"]
        {keys}

        """;

    private static string Service(string tables, string command, string update, string prove = "300ms", string ready = "notify") => $$"""
        {{tables}}
        command = {{command}}
        ready = "{{ready}}"
        update = "{{update}}"
        rollout = { prove = "{{prove}}" }
        stop_timeout = "5s"

        """;

    private static async Task<string> State(Supervisor supervisor)
    {
        (_, string output, _) = await supervisor.Verb("status", "web", "--json");
        return JsonElement.Parse(output).GetProperty("services")[0].GetProperty("state").GetString()!;
    }

    private static async Task<string> Ask(Supervisor supervisor) =>
        await Supervisor.Ask(supervisor.Scratch.At("http.sock"), "x");
}
