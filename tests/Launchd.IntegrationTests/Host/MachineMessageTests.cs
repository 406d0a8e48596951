using System.Net.Sockets;
using Launchd.AcceptanceTests.Support;
using Launchd.Cli.Parsing;
using Launchd.Cli.Surroundings;
using Launchd.IntegrationTests.Support;
using Launchd.Tests.Messages;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// What is said about failures that need a machine or a supervisor, beside the list of the unit tests: of each the place, the cause and
/// the remedy, and nothing that is for programmers only.
/// </summary>
public sealed class MachineMessageTests
{
    [FactWhenRoot]
    public async Task CheckSaysOfAllThatThisMachineHasNotWhereItStandsAndWhatToDo()
    {
        using Scratch place = new();
        using Socket holder = LoopbackPort.Hold(out int port);
        holder.Listen();
        _ = Directory.CreateDirectory(place.At("way"));
        _ = place.Write("script", "#!/no/such/interpreter\n");
        File.SetUnixFileMode(place.At("script"), (UnixFileMode)0b111_101_101);
        _ = place.Write("plain", "text\n");
        string file = place.Write("launchd.toml", $$"""
            [sockets.taken]
            listen = "tcp://127.0.0.1:{{port}}"
            [sockets.absent]
            listen = "tcp://192.0.2.1:80"
            [sockets.device]
            listen = "tcp://127.0.0.1:0"
            bind_to_device = "nodev0"
            [sockets.way]
            listen = "unix:way"
            [sockets.owner]
            listen = "unix:owned"
            group = "no-such-group"
            [services.a]
            command = ["true"]
            user = "no-such-user"
            sockets = ["taken", "absent", "device", "way", "owner"]
            [services.b]
            command = ["no-such-program"]
            [services.c]
            command = ["./script"]
            [services.d]
            command = ["./plain"]
            [services.e]
            command = ["./way"]
            [services.f]
            command = ["true && false"]
            environment_files = ["no.env"]
            [services.g]
            command = ["true"]
            working_directory = "gone"
            limits = { nofile = 4000000000 }
            """);
        await using Command check = Command.Launchd(["check", file], place.FolderPath);

        Assert.Equal(78, await check.Exit());

        string said = check.Errors.ToString().Replace(place.FolderPath, "HERE", StringComparison.Ordinal);
        foreach ((string where, string what, string remedy) in ((string, string, string)[])[
            (":2:10: warning LD1404: sockets.taken.listen", "Address already in use", "held by "),
            (":4:10: warning LD1404: sockets.absent.listen", "192.0.2.1:80: Cannot assign requested address", "free_bind = true"),
            (":7:18: warning LD1404: sockets.device.bind_to_device", "No such device", "there is no network interface 'nodev0'"),
            (":9:10: error LD1404: sockets.way.listen", "Address already in use", "a directory is in the way"),
            (":12:9: error LD1404: sockets.owner.group", "group \"no-such-group\": there is no such group", ""),
            (":15:8: warning LD1407: services.a.user", "user \"no-such-user\": there is no such user", ""),
            (":18:12: warning LD1407: services.b.command", "No such file or directory", "it is in no directory of PATH"),
            (":20:12: warning LD1407: services.c.command", "No such file or directory", "/no/such/interpreter"),
            (":22:12: warning LD1407: services.d.command", "Permission denied", "it is not executable: chmod +x"),
            (":24:12: warning LD1407: services.e.command", "Permission denied", "it is a directory"),
            (":26:12: warning LD1407: services.f.command", "No such file or directory", "write [\"sh\", \"-c\", \"…\"]"),
            (":27:22: warning LD1407: services.f.environment_files", "HERE/no.env: it cannot be read: No such file or directory", ""),
            (":30:21: warning LD1407: services.g.working_directory", "HERE/gone: No such file or directory", ""),
            (":31:10: error LD1408: services.g.limits", "nofile = 4000000000 is above fs.nr_open", "lower it")])
        {
            string line = said.Split("HERE/launchd.toml").FirstOrDefault(l => l.StartsWith(where, StringComparison.Ordinal)) ?? said;
            Assert.Contains(what, line, StringComparison.Ordinal);
            Assert.Contains(remedy, line, StringComparison.Ordinal);
        }
        Assert.Empty(SpokenText.NotForPeople(said));
    }

    [Fact]
    public async Task VerbsSayWhichServiceCannotDoWhatAndWhy()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.web]
            command = ["sleep", "2147483647"]
            [services.late]
            command = ["no-such-program"]
            restart = "never"
            start = "manual"
            [services.short]
            command = ["sh", "-c", "echo cannot go on; exit 3"]
            restart = "never"
            start = "manual"
            ready = "notify"
            """);
        _ = await supervisor.Event("ready", "web");
        _ = supervisor.Scratch.Write("broken.toml", "[services.web]\ncomand = 1\n");

        foreach ((string words, int code, string place, string cause, string remedy) in ((string, int, string, string, string)[])[
            ("status wob", 4, "'wob'", "there is no service 'wob'", "did you mean 'web'?"),
            ("restart wx-*", 4, "'wx-*'", "no service matches", ""),
            ("start late", 1, "late: failed", "No such file or directory", "it is in no directory of PATH"),
            ("start short", 1, "short: failed", "exited with 3", "cannot go on"),
            ("signal HUP late", 1, "late", "no running instance", ""),
            ("reload-service web", 1, "web: failed", "it has no 'reload' in the configuration", ""),
            ("fd get web/http -- true", 1, "'http'", "'web' has no descriptor", "'launchd-cs fds web' lists"),
            ("fd get late/http -- true", 1, "'late'", "'late' has no descriptor 'http'", "'launchd-cs fds late' lists"),
            ("check --plan broken.toml", 78, "broken.toml:2:1", "there is no such key", "did you mean 'command'?"),
            ("scale 2 wob", 4, "'wob'", "there is no service 'wob'", "did you mean 'web'?")])
        {
            (int exit, string said) = Run(supervisor, words.Split(' '));

            Assert.True(exit == code, $"{words}: {exit}, {said}");
            foreach (string part in (string[])[place, cause, remedy])
                Assert.True(said.Contains(part, StringComparison.Ordinal), $"{words}: no '{part}' in {said}");
            Assert.Empty(SpokenText.NotForPeople(said));
        }
        string file = supervisor.Scratch.At("config.toml");
        File.WriteAllText(file, File.ReadAllText(file).Replace("\"2147483647\"]", "\"2147483646\"]", StringComparison.Ordinal));
        Assert.Contains(
            "web: the configuration has changed since it was read; 'launchd-cs reload'", Run(supervisor, ["restart", "web"]).Said,
            StringComparison.Ordinal);
        Assert.DoesNotContain("configuration", Run(supervisor, ["stop", "web"]).Said, StringComparison.Ordinal);
        await using Command second = Command.Launchd(["run", "config.toml"], supervisor.Scratch.FolderPath);
        Assert.Equal(75, await second.Exit());
        Assert.Contains("another supervisor (pid ", second.Errors.ToString(), StringComparison.Ordinal);
        Assert.Contains("stop it with 'launchd-cs shutdown', or give", second.Errors.ToString(), StringComparison.Ordinal);
        Assert.Empty(SpokenText.NotForPeople(second.Errors.ToString()));
        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>Runs a verb in this process, which saves the start of one.</summary>
    private static (int Code, string Said) Run(Supervisor supervisor, string[] words)
    {
        StringWriter said = new() { NewLine = "\n" };
        int code = CommandLine.Run(words, new CliContext
        {
            Output = new Terminal { Writer = said, IsTerminal = false, HasColour = false, Size = () => (80, 24) },
            Error = said,
            Environment = name => name == "LAUNCHD_RUNTIME_DIRECTORY" ? supervisor.Scratch.At("run") : null,
            WorkingDirectory = supervisor.Scratch.FolderPath,
            BaseDirectories = [],
        });
        return (code, said.ToString());
    }
}
