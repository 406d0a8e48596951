using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary><c>log_format = "json"</c>: whoever collects the supervisor's outputs can parse every line.</summary>
public sealed class JsonOutputTests
{
    private const string Text = """
        [supervisor]
        log_format = "FORMAT"
        [services.w]
        command = ["sh", "-c", '''trap 'echo told' USR1; echo '{"level":"info"}'; echo plain >&2; while :; do sleep 0.1; done''']
        """;

    [Fact]
    public async Task EveryLineOfBothIsAnObject_UntilAReloadSaysOtherwise()
    {
        await using Supervisor supervisor = Supervisor.StartText(Text.Replace("FORMAT", "json", StringComparison.Ordinal));
        Happening ready = await supervisor.Event("ready", "w");
        string first = await supervisor.Output.First(l => l.Contains("info", StringComparison.Ordinal), "the object");
        string second = await supervisor.Output.First(l => l.Contains("plain", StringComparison.Ordinal), "the text");

        using JsonDocument found = JsonDocument.Parse(first), text = JsonDocument.Parse(second);
        Assert.Equal("info", found.RootElement.GetProperty("object").GetProperty("level").GetString());
        Assert.Equal("plain", text.RootElement.GetProperty("text").GetString());
        Assert.Equal(("w", 0), (text.RootElement.GetProperty("service").GetString(), text.RootElement.GetProperty("slot").GetInt32()));
        Assert.All(supervisor.Output.All().Concat(supervisor.Errors.All()), line => JsonDocument.Parse(line).Dispose());

        Assert.Equal(0, (await supervisor.Change(Text.Replace("FORMAT", "pretty", StringComparison.Ordinal))).Code);
        Living.Signal(ready.Pid, Living.SIGUSR1);

        Assert.Equal("w.0 │ told", await supervisor.Output.First(l => l.Contains("told", StringComparison.Ordinal), "a line for people"));
        Assert.Equal(0, await supervisor.Stop());
    }
}
