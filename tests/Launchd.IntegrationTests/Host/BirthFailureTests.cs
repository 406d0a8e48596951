using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>A program that cannot be executed: one sentence with the stage and the cause, and the others run.</summary>
public sealed class BirthFailureTests
{
    private const int ENOENT = 2, ENOEXEC = 8, EACCES = 13, ENOTDIR = 20, ETXTBSY = 26, ELOOP = 40;

    [Theory]
    [InlineData("missing", "exec", ENOENT, "exec \"PLACE/missing\": No such file or directory")]
    [InlineData("plain", "exec", EACCES, "exec \"PLACE/plain\": Permission denied (it is not executable: chmod +x)")]
    [InlineData("folder", "exec", EACCES, "exec \"PLACE/folder\": Permission denied (it is a directory)")]
    [InlineData("plain/below", "exec", ENOTDIR, "exec \"PLACE/plain/below\": Not a directory")]
    [InlineData("script", "exec", ENOEXEC, "exec \"PLACE/script\": Exec format error (a script needs a first line such as #!/bin/sh)")]
    [InlineData("interpreter", "exec", ENOENT,
        "exec \"PLACE/interpreter\": No such file or directory (its interpreter /no/such/interpreter")]
    [InlineData("busy", "exec", ETXTBSY, "exec \"PLACE/busy\": Text file busy (a process has it open for writing: ")]
    [InlineData("circle", "exec", ELOOP, "exec \"PLACE/circle\": Too many levels of symbolic links")]
    public async Task AProgramThatCannotBeExecuted(string program, string stage, int errno, string sentence)
    {
        using Scratch place = new();
        _ = place.Write("plain", "text");
        _ = Directory.CreateDirectory(place.At("folder"));
        Executable(place.Write("script", "echo no first line\n"));
        Executable(place.Write("interpreter", "#!/no/such/interpreter\n"));
        File.Copy("/bin/true", place.At("busy"));
        _ = File.CreateSymbolicLink(place.At("circle"), place.At("circle"));
        using FileStream writer = File.OpenWrite(place.At("busy"));

        await Fails(
            $"command = [\"{place.At(program)}\"]", stage, errno, sentence.Replace("PLACE", place.FolderPath, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("command = [\"no-such-program\"]", "exec", ENOENT, "exec \"no-such-program\": No such file or directory")]
    [InlineData("command = [\"true\"]\nenvironment = { PATH = \"/no/such:/nor/this\" }",
        "exec", ENOENT, "exec \"true\": No such file or directory")]
    [InlineData("command = [\"true\"]\nworking_directory = \"/no/such\"", "working directory", ENOENT,
        "working directory /no/such: No such file or directory")]
    [InlineData("command = [\"true\"]\nworking_directory = \"/etc/passwd\"", "working directory", ENOTDIR,
        "working directory /etc/passwd: Not a directory")]
    [InlineData("command = [\"true\"]\noutput = \"file:/no/such/out\"", "output", ENOENT, "output")]
    [InlineData("command = [\"true\"]\ninput = \"file:/no/such/in\"", "input", ENOENT, "input")]
    [InlineData("command = [\"true\"]\nenvironment_files = [\"/no/such/file\"]",
        "environment file", ENOENT, "environment file /no/such/file")]
    public Task SurroundingsThatAreNotThere(string keys, string stage, int errno, string sentence) => Fails(keys, stage, errno, sentence);

    [FactWhenRoot]
    public Task AUserWhoMayNotExecuteTheProgram() => Fails(
        "command = [\"/root/program\"]\nuser = \"nobody\"\nworking_directory = \"/\"",
        "exec", EACCES, "exec \"/root/program\": Permission denied");

    /// <summary>What a start would meet, <c>check</c> says beforehand, each at its place.</summary>
    [Fact]
    public async Task CheckLooksForAllThatAServiceIsStartedWith()
    {
        using Scratch place = new();
        Executable(place.Write("crlf", "#!/bin/sh\r\n"));
        _ = place.Write("app.env", "A=1\nexport B=2\n");
        string file = place.Write("launchd.toml", """
            [services.one]
            command = ["sleep 1000"]
            [services.two]
            command = ["./crlf"]
            environment_files = ["missing.env", "app.env"]
            health = { command = ["~/bin/probe"] }
            [services.three]
            command = ["true"]
            limits = { nofile = 4000000000 }
            stop_command = ["no-such-program"]
            [services.four]
            command = ["true"]
            working_directory = "/no/such"
            limits = { nofile = "infinity" }
            """);
        await using Command check = Command.Launchd(["check", file], place.FolderPath);

        Assert.Equal(78, await check.Exit());

        string said = check.Errors.ToString();
        foreach (string expected in (string[])[
            ":2:12: warning LD1407: services.one.command \"sleep 1000\": No such file or directory (no shell takes a command apart",
            ":4:12: warning LD1407: services.two.command \"",
            ":5:22: warning LD1407: services.two.environment_files ",
            ":5:37: warning LD1410: services.two.environment_files: environment file ",
            "line 2 is left out: 'export' is a word of shells",
            "warning LD1407: services.two.health \"",
            "error LD1408: services.three.limits.nofile = 4000000000 is above fs.nr_open",
            ":10:17: warning LD1407: services.three.stop_command \"no-such-program\"",
            ":13:21: warning LD1407: services.four.working_directory /no/such: No such file or directory"])
        {
            Assert.Contains(expected, said, StringComparison.Ordinal);
        }
    }

    private static async Task Fails(string keys, string stage, int errno, string sentence)
    {
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.bad]
            {{keys}}
            restart = "never"
            [services.good]
            command = ["sleep", "2147483647"]
            [services.next]
            command = ["sleep", "2147483647"]
            requires = ["bad"]
            """);

        Happening failed = await supervisor.Event("exec-failed", "bad");

        Assert.Equal(stage, failed.Text("stage"));
        Assert.Equal(errno, failed.Number("errno"));
        Assert.StartsWith("cannot start bad: " + sentence, failed.Text("text"), StringComparison.Ordinal);
        _ = await supervisor.Event("ready", "good");
        _ = await supervisor.Event("failed", "next");
        using ControlSocket control = await ControlSocket.To(supervisor);
        Assert.Equal("failed", (await control.Service("bad")).GetProperty("state").GetString());
        Assert.Equal("ready", (await control.Service("good")).GetProperty("state").GetString());
        Assert.Equal(0, await supervisor.Stop());
    }

    private static void Executable(string path) => File.SetUnixFileMode(path, (UnixFileMode)0b111_101_101);
}
