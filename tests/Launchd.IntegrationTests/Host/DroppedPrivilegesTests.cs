using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Programs that root starts, and that become another user by themselves, can open their output anew as others can.</summary>
public sealed class DroppedPrivilegesTests
{
    private const string Opens = "echo one > /dev/stderr && echo two > /dev/stdout && echo opened";

    [TheoryWhenRootAndTool("setpriv")]
    [InlineData("log", "")]
    [InlineData("inherit", "")]
    [InlineData("log", "user = \"nobody\"")]
    [InlineData("inherit", "user = \"nobody\"")]
    public async Task ItsOutput(string output, string user)
    {
        string drop = user.Length > 0 ? "" : "\"setpriv\", \"--reuid=65534\", \"--regid=65534\", \"--clear-groups\", ";
        await using Supervisor supervisor = Supervisor.StartText($"""
            [services.web]
            command = [{drop}"sh", "-c", "{Opens}; echo code $?; exec sleep 1000"]
            output = "{output}"
            {user}
            """);

        string last = await supervisor.Output.First(line => line.Contains("code ", StringComparison.Ordinal), "the code");

        Assert.EndsWith("code 0", last, StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRootAndTool("setpriv")]
    public async Task ThatOfItsCommands()
    {
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.web]
            command = ["sleep", "1000"]
            [services.web.health]
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", "{{Opens}}"]
            interval = "100ms"
            """);

        string said = await supervisor.Output.First(line => line.EndsWith("opened", StringComparison.Ordinal), "what the command says");

        Assert.Contains("web", said, StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }
}
