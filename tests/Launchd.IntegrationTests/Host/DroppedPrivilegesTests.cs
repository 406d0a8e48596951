using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Paths;
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
    [InlineData("log", "user = \"daemon\"\nambient_capabilities = [\"setuid\", \"setgid\"]")]
    [InlineData("inherit", "user = \"daemon\"\nambient_capabilities = [\"setuid\", \"setgid\"]")]
    public async Task ItsOutput(string output, string user)
    {
        bool isNobody = user.Contains("nobody", StringComparison.Ordinal);
        string drop = isNobody ? "" : "\"setpriv\", \"--reuid=65534\", \"--regid=65534\", \"--clear-groups\", ";
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

    /// <summary>A file is not opened wider for whom a program may become; one made for that user beforehand stays as it is.</summary>
    [TheoryWhenRootAndTool("setpriv")]
    [InlineData("install -m 0640 /dev/null out", "code 2", "rw-r----- 0")]
    [InlineData("install -m 0600 -o 65534 /dev/null out", "code 0", "rw------- 65534")]
    [InlineData("true", "code 2", "rw-r----- 0")]
    public async Task ItsOutputInAFile(string before, string code, string file)
    {
        await using Supervisor supervisor = Supervisor.StartTextBy(["/bin/sh", "-c", before + " && exec \"$0\" \"$@\""], $"""
            [services.web]
            command = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "sh", "-c", "({Opens}); echo code $?"]
            output = "file:out"
            restart = "never"
            """);

        _ = await supervisor.Event("exited", "web");
        string path = supervisor.Scratch.At("out");

        Assert.Equal(code, File.ReadLines(path).Last());
        Assert.Equal(Errno.None, FileStatus.ReadFollow(path, out FileStatus status));
        Assert.Equal(file, $"{Letters(status.Mode)} {status.Uid}");
        Assert.Equal(0, await supervisor.Stop());
    }

    private static string Letters(int mode) =>
        string.Concat(Enumerable.Range(0, 9).Select(i => (mode >> (8 - i) & 1) == 0 ? '-' : "rwx"[i % 3]));

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
