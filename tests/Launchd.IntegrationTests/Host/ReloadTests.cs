using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>A running supervisor that is given other configurations, right ones and wrong ones.</summary>
public sealed class ReloadTests
{
    private const string Web = """
        [sockets.http]
        listen = "tcp://127.0.0.1:0"

        [services.web]
        command = ["${DOTNET}", "${PROBE}", "--greet", "one", "--echo", "--ready"]
        sockets = ["http"]
        ready = "notify"
        rollout = { prove = "0s" }

        """;

    private const string Keep = """
        [services.keep]
        command = ["sleep", "2147483647"]

        """;

    [Fact]
    public async Task ServicesComeChangeAndGo_AndWhatIsTheSameIsNotTouched()
    {
        await using Supervisor supervisor = Supervisor.StartText(Web + Keep + "[services.old]\ncommand = [\"sleep\", \"2147483646\"]\n");
        _ = await supervisor.Event("ready", "web");
        Happening kept = await supervisor.Event("ready", "keep");
        int old = (await supervisor.Event("ready", "old")).Pid;
        IPEndPoint address = await supervisor.Address("http");

        (int code, string output, string errors) = await supervisor.Change(
            Web.Replace("one", "two", StringComparison.Ordinal) + Keep + "[services.new]\ncommand = [\"sleep\", \"2147483645\"]\n");

        Assert.True(code == 0, output + errors);
        Assert.Contains("1 added, 1 changed, 1 removed, 2 unchanged", output, StringComparison.Ordinal);
        Assert.StartsWith("two", await Supervisor.Ask(address, "x"), StringComparison.Ordinal);
        Assert.Equal(address, await supervisor.Address("http"));
        Assert.False(Living.IsAlive(old));
        Assert.True(Living.IsAlive(kept.Pid));
        _ = await supervisor.Event("ready", "new");
        Happening reloaded = await supervisor.Event("reloaded");
        Assert.Equal(["services.new"], reloaded.Texts("added"));
        Assert.Equal(["services.web"], reloaded.Texts("changed"));
        Assert.Equal(["services.old"], reloaded.Texts("removed"));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [InlineData("command = [\"sleep\"\n", 78, "error LD1001")]
    [InlineData("[services.web]\ncommand = [\"sleep\"]\nsockets = [\"htp\"]\n[services.x]\ncomand = [\"y\"]\n", 78, "2 errors")]
    [InlineData("[services.new]\ncommand = [\"there-is-no-such-program\"]\n", 1,
        "services.new: command \"there-is-no-such-program\": No such file or directory (it is in no directory of PATH, ")]
    [InlineData("[services.new]\ncommand = [\"sleep\"]\nworking_directory = \"/nowhere\"\n",
        1, "services.new: working_directory /nowhere: ")]
    [InlineData("[services.new]\ncommand = [\"sleep\"]\nenvironment_files = [\"/nowhere\"]\n",
        1, "services.new: environment_files /nowhere: ")]
    [InlineData("[sockets.a]\nlisten = \"unix:made/a.sock\"\n[sockets.b]\nlisten = \"tcp://127.0.0.1:TAKEN\"\n", 1,
        "sockets.b: cannot listen on tcp://127.0.0.1:TAKEN: ")]
    [InlineData("[sockets.a]\nlisten = \"unix:made/a.sock\"\n[files.f]\npath = \"/nowhere\"\n", 1, "files.f: ")]
    [InlineData("[supervisor]\nkeeper = false\n", 1, "supervisor.keeper cannot change from true to false")]
    [InlineData("name = \"other\"\n", 1, "name cannot change from config to other")]
    public async Task AWrongConfigurationChangesNothing(string text, int exitCode, string reason)
    {
        using TcpListener taken = new(IPAddress.Loopback, 0);
        taken.Start();
        string port = $"{((IPEndPoint)taken.LocalEndpoint).Port}";
        await using Supervisor supervisor = Supervisor.StartText(Keep);
        Happening kept = await supervisor.Event("ready", "keep");

        (int code, _, string errors) = await supervisor.Change(
            text.Replace("TAKEN", port, StringComparison.Ordinal) + (text.StartsWith("command", StringComparison.Ordinal) ? "" : Keep));

        Assert.Equal(exitCode, code);
        Assert.Contains(reason.Replace("TAKEN", port, StringComparison.Ordinal), errors, StringComparison.Ordinal);
        _ = await supervisor.Event("reload-refused");
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind is "reloaded");
        Assert.True(Living.IsAlive(kept.Pid));
        Assert.False(Directory.Exists(supervisor.Scratch.At("made")));
        using ControlSocket control = await ControlSocket.To(supervisor);
        Assert.Equal(
            "keep", (await control.Call("Status")).GetProperty("services").EnumerateArray().Single().GetProperty("service").GetString());
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task AnUnknownUserIsFoundBeforeAnythingIsChanged()
    {
        await using Supervisor supervisor = Supervisor.StartText(Keep);
        _ = await supervisor.Event("ready", "keep");

        (int code, _, string errors) =
            await supervisor.Change(Keep + "[services.new]\ncommand = [\"sleep\"]\nuser = \"nobody-of-that-name\"\n");

        Assert.Equal(1, code);
        Assert.Contains("services.new: user \"nobody-of-that-name\": there is no such user", errors, StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task ASocketOfAnotherNameOrAddressStaysForThoseWhoHaveIt()
    {
        await using Supervisor supervisor =
            Supervisor.StartText(Web.Replace("tcp://127.0.0.1:0", "unix:one.sock", StringComparison.Ordinal));
        _ = await supervisor.Event("ready", "web");
        using ControlSocket control = await ControlSocket.To(supervisor);
        int number = await Number(control);

        (int code, string output, _) = await supervisor.Change(Web.Replace("tcp://127.0.0.1:0", "unix:one.sock", StringComparison.Ordinal)
            .Replace("sockets.http", "sockets.www", StringComparison.Ordinal).Replace("[\"http\"]", "[\"www\"]", StringComparison.Ordinal));

        Assert.Equal(0, code);
        Assert.Contains("keeps the open socket of http", output, StringComparison.Ordinal);
        Assert.Equal(number, await Number(control));

        (code, _, _) = await supervisor.Change(Web.Replace("tcp://127.0.0.1:0", "unix:two.sock", StringComparison.Ordinal));

        Assert.Equal(0, code);
        Assert.StartsWith("one", await Supervisor.Ask(supervisor.Scratch.At("two.sock"), "x"), StringComparison.Ordinal);
        Assert.False(File.Exists(supervisor.Scratch.At("one.sock")));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task AServiceThatIsRolledBackIsTriedAgain()
    {
        string broken = Web.Replace(
            "\"--greet\", \"one\"", "\"--fail-times\", \"1\", \"count\", \"--greet\", \"two\"", StringComparison.Ordinal);
        await using Supervisor supervisor = Supervisor.StartText(Web);
        _ = await supervisor.Event("ready", "web");
        IPEndPoint address = await supervisor.Address("http");

        (int code, string output, _) = await supervisor.Change(broken);

        Assert.Equal(1, code);
        Assert.Contains("web: failed", output, StringComparison.Ordinal);
        Assert.StartsWith("one", await Supervisor.Ask(address, "x"), StringComparison.Ordinal);

        (code, output, _) = await supervisor.Verb("reload");

        Assert.True(code == 0, output);
        Assert.Contains("tried again", output, StringComparison.Ordinal);
        Assert.StartsWith("two", await Supervisor.Ask(address, "x"), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task APlanChangesNothing()
    {
        await using Supervisor supervisor = Supervisor.StartText(Keep);
        _ = await supervisor.Event("ready", "keep");
        supervisor.Scratch.Write(
            "next.toml", Supervisor.WithRuntimeDirectory("name = \"config\"\n" + Keep + "[services.new]\ncommand = [\"sleep\", \"1\"]\n"));

        (int code, string output, string errors) = await supervisor.Verb("check", "next.toml", "--plan");

        Assert.True(code == 0, errors);
        Assert.Equal("  + services.new  will be started\n\n1 to be added, 1 unchanged",
            output.Trim('\n').Replace("\r", "", StringComparison.Ordinal));
        (code, output, _) = await supervisor.Verb("check", "--plan", "--json");
        Assert.Equal(0, code);
        Assert.Empty(JsonElement.Parse(output).GetProperty("changes").EnumerateArray());
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind is "reloaded" or "reload-refused");
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task ReloadsAtOnceComeOneAfterTheOther_AndTheLastFileHolds()
    {
        await using Supervisor supervisor = Supervisor.StartText(Keep);
        _ = await supervisor.Event("ready", "keep");
        supervisor.Write(Keep + "[services.new]\ncommand = [\"sleep\", \"2147483645\"]\n");
        List<ControlSocket> clients = [];
        for (int i = 0; i < 8; i++)
            clients.Add(await ControlSocket.To(supervisor));

        foreach (ControlSocket client in clients)
            await client.Begin("Reload", "{}");

        int changed = 0;
        foreach (ControlSocket client in clients)
        {
            JsonElement answer;
            do
                answer = (await client.Read())!.Value.GetProperty("parameters");
            while (!answer.TryGetProperty("results", out _));
            changed += answer.GetProperty("changes").GetArrayLength();
            client.Dispose();
        }
        Assert.Equal(1, changed);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task AHangUpReloads_AndLogSettingsApply()
    {
        await using Supervisor supervisor = Supervisor.StartText(Keep);
        _ = await supervisor.Event("ready", "keep");
        supervisor.Write(Keep + "[supervisor]\nlog_format = \"json\"\nlog_level = \"debug\"\nprocess_name = \"other\"\n");
        int pid = await supervisor.Pid();

        Living.Signal(pid, 1);

        Assert.Equal(["supervisor"], (await supervisor.Event("reloaded")).Texts("changed"));
        using (ControlSocket control = await ControlSocket.To(supervisor))
        {
            // By the first thread, which another one that runs the loop has to wake.
            await control.Until(() => File.ReadAllText($"/proc/{pid}/comm") == "other\n", () => "not named");
        }
        _ = await supervisor.Errors.First(l => l.StartsWith('{') && l.Contains("reloaded", StringComparison.Ordinal), "a line in JSON");
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task AnIncludedFileIsReadAnew_AndPathsStayRelativeToIt()
    {
        await using Supervisor supervisor = Supervisor.StartText("include = [\"conf.d/*.toml\"]\n" + Keep);
        _ = await supervisor.Event("ready", "keep");
        Directory.CreateDirectory(supervisor.Scratch.At("conf.d/sub"));
        supervisor.Scratch.Write("conf.d/new.toml",
            "[services.new]\ncommand = [\"/bin/sh\", \"-c\", \"pwd; exec sleep 2147483645\"]\nworking_directory = \"sub\"\n"
            + "ready = { output = \"conf.d/sub\" }\n");

        (int code, string output, string errors) = await supervisor.Verb("reload");

        Assert.True(code == 0, output + errors);
        Assert.Equal(0, await supervisor.Stop());
    }

    private static async Task<int> Number(ControlSocket control) =>
        (await control.Call("Descriptors")).GetProperty("descriptors").EnumerateArray()
            .Single(d => d.GetProperty("origin").GetString() == "socket").GetProperty("number").GetInt32();
}

/// <summary>Another configuration for a running supervisor.</summary>
internal static class Changing
{
    public static void Write(this Supervisor supervisor, string text) =>
        supervisor.Scratch.Write("config.toml", Supervisor.WithRuntimeDirectory(text));

    public static async Task<(int Code, string Output, string Errors)> Change(
        this Supervisor supervisor, string text, params string[] options)
    {
        supervisor.Write(text);
        return await supervisor.Verb(["reload", .. options]);
    }
}
