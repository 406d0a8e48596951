using System.Net;
using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.Core.Recording;
using Launchd.Host.Listeners;
using Launchd.IntegrationTests.Host;
using Launchd.Interop;
using Launchd.Linux.Memory;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Xunit;

namespace Launchd.IntegrationTests.Keeper;

/// <summary>Another program in the place of supervisor and keeper, with everything kept, or nothing changed.</summary>
public sealed class UpgradeTests
{
    private const int SIGUSR2 = 12, O_RDWR = 2;

    private const string Kept = """
        [supervisor]
        keeper = true
        [sockets.http]
        listen = "tcp://127.0.0.1:0"
        [services.web]
        command = ["${DOTNET}", "${PROBE}", "--greet", "served ", "--echo", "--ready"]
        sockets = ["http"]
        ready = "notify"
        """;

    [Fact]
    public async Task NoRequestIsLost_NoProgramEnds_AndTheKeeperIsReplacedToo()
    {
        await using Supervisor supervisor = Supervisor.StartText(Kept);
        IPEndPoint http = await supervisor.Address("http");
        (int keeper, int first) = (supervisor.StartedPid, await supervisor.Pid());
        int web = (await supervisor.Event("ready", "web")).Pid;
        using AskingClients clients = new(http, 4);

        (int code, string output, string errors) = await supervisor.Verb("upgrade", "--json");

        Assert.True(code == 0, errors);
        JsonElement verdict = JsonElement.Parse(output);
        int second = verdict.GetProperty("pid").GetInt32();
        Assert.NotEqual(first, second);
        Assert.Equal(verdict.GetProperty("from").GetString(), verdict.GetProperty("to").GetString());
        _ = await supervisor.Says("keeper: goes on as the new program");
        (_, string events, _) = await supervisor.Verb("events", "--json");
        Assert.Contains("\"reason\":\"upgrade\"", events, StringComparison.Ordinal);

        // By the signal, of which the log tells; and what was a keeper before goes on being one.
        Living.Signal(keeper, SIGUSR2);
        _ = await supervisor.Says("upgraded from version", nth: 2);
        _ = await supervisor.Says("keeper: goes on as the new program", nth: 2);
        int third = Assert.Single(Living.ChildrenOf(keeper), IsSupervisor);
        Living.Kill(third);
        _ = await supervisor.WentOn(nth: 3);
        using ControlSocket control = await ControlSocket.To(supervisor.Scratch);
        Assert.Equal(web, await control.PidOf("web"));
        await clients.End();

        Assert.Empty(clients.Failures);
        Assert.Equal("launchd-keeper\n", await File.ReadAllTextAsync($"/proc/{keeper}/comm"));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task WhatIsNoSuchProgramChangesNothing()
    {
        await using Supervisor supervisor = Supervisor.StartText(Kept);
        int first = await supervisor.Pid(), web = (await supervisor.Event("ready", "web")).Pid;
        Scratch scratch = supervisor.Scratch;
        string silent = Program(scratch, "silent", "#!/bin/sh\n: > begun\nexec sleep 1000\n");

        Task<(int, string, string)> late = supervisor.Verb("upgrade", "--binary", silent);
        await supervisor.Until(() => File.Exists(scratch.At("begun")));
        await Refuses("sh", 75, "another upgrade is under way");
        (int code, _, string errors) = await late;
        Assert.Equal((1, true), (code, errors.Contains("did not prove within 10 s", StringComparison.Ordinal)));

        await Refuses("/bin/false", 1, "it ended with code 1 and did not prove");
        await Refuses("/bin/true", 1, "it ended with code 0 and did not prove");
        await Refuses(Program(scratch, "killed", "#!/bin/sh\nkill -KILL $$\n"), 1, "it was killed by SIGKILL");
        await Refuses(Program(scratch, "nothing", "nothing"), 1, "it cannot be executed");
        await Refuses(scratch.Write("plain", "#!/bin/sh\n"), 1, "is not executable: chmod +x");
        await Refuses(scratch.FolderPath, 1, "is a directory, and no program");
        await Refuses(scratch.At("missing"), 1, "there is no file");
        if (Environment.UserName == "root")
        {
            string open = Program(scratch, "open", "#!/bin/sh\n");
            File.SetUnixFileMode(open, (UnixFileMode)0b111_111_111);
            await Refuses(open, 1, "cannot be trusted");
        }

        Assert.Equal([first], Living.ChildrenOf(supervisor.StartedPid));
        (_, string events, _) = await supervisor.Verb("events", "--json");
        Assert.Contains("\"upgrade-refused\"", events, StringComparison.Ordinal);
        Assert.True(Living.IsAlive(web));
        Assert.Equal(0, await supervisor.Stop());

        async Task Refuses(string program, int expected, string reason)
        {
            (int refused, _, string why) = await supervisor.Verb("upgrade", "--binary", program);
            Assert.Contains($"nothing was changed: ", why, StringComparison.Ordinal);
            Assert.Contains(reason, why, StringComparison.Ordinal);
            Assert.Equal(expected, refused);
        }
    }

    [Fact]
    public async Task AProgramThatProvesItselfAndDoesNotServeIsTakenBack()
    {
        await using Supervisor supervisor = Supervisor.StartText(Kept);
        int first = await supervisor.Pid(), web = (await supervisor.Event("ready", "web")).Pid;
        string halfway = Program(
            supervisor.Scratch, "halfway",
            $"#!/bin/sh\ncase \"$*\" in *--prove) exec '{Repository.LaunchdCommand[0]}' \"$@\" ;; esac\nexit 3\n");

        (int code, _, string errors) = await supervisor.Verb("upgrade", "--binary", halfway);

        Assert.Contains("its supervisor ended with code 3 before it served, twice: the former", errors, StringComparison.Ordinal);
        Assert.Equal(1, code);
        using ControlSocket control = await ControlSocket.To(supervisor.Scratch);
        Assert.Equal(web, await control.PidOf("web"));
        int second = Assert.Single(Living.ChildrenOf(supervisor.StartedPid), IsSupervisor);
        Assert.NotEqual(first, second);
        // It counts for nothing: this is the first death.
        Living.Kill(second);
        _ = await supervisor.Says("was killed by SIGKILL; started anew");
        _ = await supervisor.WentOn(nth: 2);
        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>
    /// What a version that is newer has written down, as far as this one can know of it: records of kinds that it does not know are passed
    /// over, another layout is refused before anything is changed, and the state is as it was with the next step.
    /// </summary>
    [Fact]
    public async Task RecordsOfALaterVersionArePassedOver_AndALaterLayoutIsRefused()
    {
        await using Supervisor supervisor = Supervisor.StartText(Kept);
        int keeper = supervisor.StartedPid, first = await supervisor.Pid(), web = (await supervisor.Event("ready", "web")).Pid;
        _ = await supervisor.Output.First(l => l.StartsWith("ready in ", StringComparison.Ordinal), "the end of the boot");
        Rewrite(keeper, log => log.Put((byte)RecordKind.Configuration, 0, [0xA1, 0x01, 0x02]));

        (int code, _, string errors) = await supervisor.Verb("upgrade");

        Assert.Contains("it is of layout 2, and this program knows only layout 1", errors, StringComparison.Ordinal);
        Assert.Equal((1, true), (code, Living.IsAlive(first)));
        // Any step puts its own records in the place of that one.
        Assert.Equal(0, (await supervisor.Verb("signal", "CONT", "web")).Code);

        Assert.Equal(0, (await supervisor.Verb("upgrade")).Code);
        _ = await supervisor.Says("keeper: goes on as the new program");
        Rewrite(keeper, log =>
        {
            log.Put(15, 0, [0xA1, 0x01, 0x02]);
            log.Put(200, 7, "of a later version"u8);
        });
        Living.Kill(Assert.Single(Living.ChildrenOf(keeper), IsSupervisor));
        _ = await supervisor.WentOn(nth: 2);
        using ControlSocket control = await ControlSocket.To(supervisor.Scratch);
        Assert.Equal(web, await control.PidOf("web"));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task WithoutAKeeperNobodyWouldHoldAnything()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [supervisor]
            keeper = false
            [services.app]
            command = ["sleep", "2147483647"]
            """);
        _ = await supervisor.Event("ready", "app");

        (int code, _, string errors) = await supervisor.Verb("upgrade");

        Assert.Equal(1, code);
        Assert.Contains("write keeper = true in [supervisor]", errors, StringComparison.Ordinal);
        Living.Signal(supervisor.StartedPid, SIGUSR2);
        _ = await supervisor.Says("not upgraded, nothing was changed", nth: 2);
        Assert.Equal(0, await supervisor.Stop());
    }

    private static string Program(Scratch scratch, string name, string text)
    {
        string path = scratch.Write(name, text);
        File.SetUnixFileMode(path, (UnixFileMode)0b111_101_101);
        return path;
    }

    /// <summary>Changes what the supervisor has written down, while it has nothing to write.</summary>
    private static void Rewrite(int keeper, Action<RecordLog> change)
    {
        string state = Directory.GetFiles($"/proc/{keeper}/fd").First(
            f => Files.ReadLink(null, f)?.EndsWith("/" + StateFile.Name, StringComparison.Ordinal) == true);
        FileDescriptor file = Files.Open(null, state, O_RDWR | Libc.O_CLOEXEC, 0, out _)!;
        using RecordLog log = RecordLog.TryTake(file, out _)!;
        change(log);
        Assert.Equal(Errno.None, log.Commit());
    }

    private static bool IsSupervisor(int pid) =>
        Living.IsAlive(pid) && ProcessFacts.Read(pid)?.Group == pid
        && File.ReadAllText($"/proc/{pid}/cmdline").Contains("launchd-cs", StringComparison.Ordinal);
}
