using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>What whoever is admitted to the control socket may do and see there, and that nobody keeps others out.</summary>
[Collection(nameof(Supervisors))]
public sealed class ControlRightsTests
{
    private const string Secret = "root:$6$SECRETHASH$";

    private static readonly string Open = """
        [supervisor]
        control_mode = "0666"

        [services.app]
        command = ["sleep", "2147483647"]
        """;

    [FactWhenRootAndTool("setpriv")]
    public async Task WhomTheModeAdmitsMayLookAndOrder_ButSeesNoFilesAndGetsNoDescriptors()
    {
        await using Supervisor supervisor = Start();
        _ = await supervisor.Event("ready", "app");
        File.WriteAllText(supervisor.Scratch.At("secret"), Secret + "\n");
        File.SetUnixFileMode(supervisor.Scratch.At("secret"), UnixFileMode.UserRead);
        string secret = JsonSerializer.Serialize(supervisor.Scratch.At("secret"));

        (string? error, string text)[] answers = await AsStranger(
            supervisor,
            "Status", "{}",
            "Plan", "{\"file\":" + secret + "}",
            "Plan", "{\"\\u0066ile\":" + secret + "}",
            "Fetch", """{"service":"app","number":0}""",
            "Attach", """{"service":"app"}""",
            "Attach", """{"service":"app","read_only":true}""",
            "Upgrade", "{}",
            "Plan", "{}",
            "Restart", """{"services":["app"]}""");

        Assert.Equal(
            [null, "NotPermitted", "NotPermitted", "NotPermitted", "NotPermitted", "NoTerminal", "NotPermitted", null, null],
            answers.Select(a => a.error?.Split('.')[^1]));
        Assert.All(answers, a => Assert.DoesNotContain("SECRETHASH", a.text, StringComparison.Ordinal));
        // Root may.
        using ControlSocket root = await ControlSocket.To(supervisor);
        Assert.Contains("SECRETHASH", (await root.Ask("Plan", "{\"file\":" + secret + "}")).ToString(), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRootAndTool("setpriv")]
    public async Task WhatIsWrongWithTheConfigurationIsToldToStrangersWithoutItsLines()
    {
        await using Supervisor supervisor = Start();
        _ = await supervisor.Event("ready", "app");
        _ = supervisor.Scratch.Write(
            "config.toml", Supervisor.WithRuntimeDirectory(Open + "\nenvironment = { KEY = \"" + Secret + "\", X = [] }\n"));

        (string? error, string text)[] answers = await AsStranger(supervisor, "Reload", "{}", "Plan", "{}");

        Assert.All(answers, a => Assert.EndsWith("BadConfiguration", a.error, StringComparison.Ordinal));
        Assert.All(answers, a => Assert.DoesNotContain("SECRETHASH", a.text, StringComparison.Ordinal));
        using ControlSocket root = await ControlSocket.To(supervisor);
        Assert.Contains("SECRETHASH", (await root.Ask("Reload")).ToString(), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [InlineData("""{"method":"org.launchd-cs.Supervisor.Status","method":"org.launchd-cs.Supervisor.Shutdown"}""")]
    [InlineData("""{"method":"org.launchd-cs.Supervisor.Status","\u006dethod":"org.launchd-cs.Supervisor.Shutdown"}""")]
    [InlineData("""{"method":"org.launchd-cs.Supervisor.Status","more":true,"more":false}""")]
    [InlineData("""{"method":"org.launchd-cs.Supervisor.Status"}{}""")]
    public async Task ACallWithAKeyTwiceIsNone(string message)
    {
        await using Supervisor supervisor = Supervisor.StartText(Open);
        using ControlSocket good = await ControlSocket.To(supervisor);
        using ControlSocket bad = await ControlSocket.To(supervisor);

        await bad.Send(message + "\0");

        Assert.Null(await bad.Read());
        Assert.Equal(1, await good.Counter("control-messages-unreadable"));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [InlineData("Stop", """{"services":["none"],"services":["app"]}""", "org.varlink.service.InvalidParameter")]
    [InlineData("Stop", """{"services":["none"],"s\u0065rvices":["app"]}""", "org.varlink.service.InvalidParameter")]
    [InlineData("Status", """{"service":"\ud800"}""", "org.varlink.service.InvalidParameter")]
    [InlineData("org.launchd-cs.Supervisor.\\u0053hutdown", "{}", "org.varlink.service.MethodNotFound")]
    public async Task AParameterTwice_HalfACharacter_AndAnEscapedMethodAreRefusedByName(string method, string parameters, string error)
    {
        await using Supervisor supervisor = Supervisor.StartText(Open);
        _ = await supervisor.Event("ready", "app");
        using ControlSocket control = await ControlSocket.To(supervisor);

        JsonElement? answer = await control.Ask(method, parameters);

        Assert.Equal(error, answer?.GetProperty("error").GetString());
        Assert.Equal("ready", (await control.Service("app")).GetProperty("state").GetString());
        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [InlineData("""{"method":"org.launchd-cs.Supervisor.Events","more":true,"parameters":{"follow":true}}""" + "\0")]
    [InlineData("""{"method":"org.launchd-cs.Supervisor.Logs","more":true,"parameters":{"follow":true}}""" + "\0")]
    [InlineData("""{"method":"org.launchd-cs.Supervisor.Sta""")]
    [InlineData("""{"method":"org.launchd-cs.Supervisor.Shutdown""")]
    public async Task SoManyWhoFollowOrSayHalfACallKeepNobodyOut(string message)
    {
        await using Supervisor supervisor = Supervisor.StartText(Open);
        _ = await supervisor.Event("ready", "app");
        List<ControlSocket> others = [];
        for (int i = 0; i < 80; i++)
        {
            others.Add(await ControlSocket.To(supervisor));
            await others[^1].Send(message);
        }

        Assert.Equal(0, (await supervisor.Verb("status")).Code);
        Assert.Equal(0, (await supervisor.Verb("stop", "app")).Code);
        Assert.Equal(0, (await supervisor.Verb("shutdown")).Code);
        Assert.Equal(0, await supervisor.Ended());
        others.ForEach(o => o.Dispose());
    }

    private static Supervisor Start() => Supervisor.StartText(
        Open, scratch => File.SetUnixFileMode(scratch.FolderPath, (UnixFileMode)0b111_101_101));

    /// <summary>Calls as a user who is neither root nor the supervisor's own, one after the other.</summary>
    private static async Task<(string? Error, string Text)[]> AsStranger(Supervisor supervisor, params string[] calls)
    {
        const string Script = """
            import json, socket, sys
            s = socket.socket(socket.AF_UNIX)
            s.connect(sys.argv[1])
            f = s.makefile("rb")
            for i in range(2, len(sys.argv), 2):
                s.sendall(('{"method":"org.launchd-cs.Supervisor.%s","parameters":%s}' % (sys.argv[i], sys.argv[i + 1])).encode() + b"\0")
                answer = b""
                while not answer.endswith(b"\0"):
                    byte = f.read(1)
                    if not byte:
                        sys.exit("closed at " + sys.argv[i])
                    answer += byte
                print(answer[:-1].decode().replace("\n", " "), flush=True)
            """;
        await using Command stranger = Command.Start(
            ["setpriv", "--reuid=1234", "--regid=1234", "--clear-groups", "/usr/bin/python3", "-c", Script,
                supervisor.Scratch.At("run/control.sock"), .. calls]);
        int code = await stranger.Exit();
        Assert.True(code == 0, stranger.Errors.ToString());
        return [.. stranger.Output.All()
            .Select(l => (JsonElement.Parse(l).TryGetProperty("error", out JsonElement e) ? e.GetString() : null, l))];
    }
}
