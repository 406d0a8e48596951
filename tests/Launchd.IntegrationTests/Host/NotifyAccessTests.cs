using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Paths;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Who may speak for an instance: the processes of it, whatever their user, and no others, whatever theirs.</summary>
public sealed class NotifyAccessTests
{
    private const int Nobody = 65534, Somebody = 1234;

    private const string Says = """
        import array, os, signal, socket, sys
        s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        def say(text, *descriptors):
            s.sendmsg([text.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else [],
                0, os.environ["NOTIFY_SOCKET"])

        """;

    [FactWhenRootAndTool("setpriv")]
    public async Task AStrangerOfAnotherUserIsRefused_WhoeverMaySpeak()
    {
        await using Supervisor supervisor = await Start("fd_store = 2");
        using ControlSocket control = await ControlSocket.To(supervisor);

        await using Command stranger = Stranger(supervisor, Somebody, """
            say("READY=1\nSTATUS=it was not me\nNOTIFYACCESS=all")
            say("FDSTORE=1\nFDNAME=theirs", s.fileno())
            """);

        Assert.Equal("done", await stranger.Output.First(_ => true, "the end"));
        Assert.Equal(2, await control.Counter("notifications-refused"));
        System.Text.Json.JsonElement app = await control.Service("app");
        Assert.Equal("starting", app.GetProperty("state").GetString());
        Assert.Equal(0, app.GetProperty("held_descriptors").GetInt32());
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRootAndTool("setpriv")]
    public async Task TheSocketOfAServiceWithAUserIsThatUsersAlone_AndAStrangerOfTheSameUserIsRefused()
    {
        await using Supervisor supervisor = await Start("user = \"nobody\"");
        using ControlSocket control = await ControlSocket.To(supervisor);
        Assert.Equal(Errno.None, FileStatus.ReadFollow(supervisor.Scratch.At("run/notify/1"), out FileStatus path));
        Assert.Equal((0b110_000_000, (uint)Nobody), (path.Mode, path.Uid));

        await using Command other = Stranger(supervisor, Somebody, "say('READY=1')");
        await using Command same = Stranger(supervisor, Nobody, "say('READY=1')");

        _ = await other.Errors.First(l => l.Contains("Permission denied", StringComparison.Ordinal), "the refusal");
        Assert.Equal("done", await same.Output.First(_ => true, "the end"));
        Assert.Equal(1, await control.Counter("notifications-refused"));
        Assert.Equal("starting", (await control.Service("app")).GetProperty("state").GetString());
        Assert.Equal(0, await supervisor.Stop());
    }

    [TheoryWhenRootAndTool("setpriv")]
    [InlineData("")]
    [InlineData("setsid")]
    [InlineData("setsid -f")]
    public async Task AWorkerOfAnotherUserIsHeard_AlsoFromASessionOfItsOwn(string around)
    {
        string worker = $"{around} setpriv --reuid={Somebody} --regid={Somebody} --clear-groups /usr/bin/python3 says.py";
        await using Supervisor supervisor = await Start("", command: $"""
            ["/bin/sh", "-c", '{worker} & wait; exec sleep 2147483647']
            """, Says + "say('READY=1'); signal.pause()");

        _ = await supervisor.Event("ready", "app");
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRootAndTool("systemd-notify")]
    public async Task AHelperThatIsGoneWhenItsMessageIsReadIsHeardByItsUser()
    {
        await using Supervisor supervisor = await Start("user = \"nobody\"", command: """
            ["/bin/sh", "-c", 'read go < go; systemd-notify --no-block --ready; echo sent > sent; exec sleep 2147483647']
            """);
        int pid = await supervisor.Pid();
        foreach (string fifo in (string[])["go", "sent"])
        {
            await using Command make = Command.Start(["mkfifo", "-m", "666", supervisor.Scratch.At(fifo)]);
            Assert.Equal(0, await make.Exit());
        }
        using ControlSocket control = await ControlSocket.To(supervisor);
        _ = await control.Call("Start", """{"services":["app"],"wait":false}""");
        _ = await supervisor.Event("spawned", "app");
        Living.Signal(pid, Living.SIGSTOP);
        await File.WriteAllTextAsync(supervisor.Scratch.At("go"), "go\n").WaitAsync(Deadline.Generous);
        _ = await File.ReadAllTextAsync(supervisor.Scratch.At("sent")).WaitAsync(Deadline.Generous);
        Living.Signal(pid, Living.SIGCONT);

        _ = await supervisor.Event("ready", "app");
        Assert.Equal(0, await supervisor.Stop());
    }

    private static async Task<Supervisor> Start(string keys, string command = "[\"sleep\", \"2147483647\"]", string? script = null)
    {
        Supervisor supervisor = Supervisor.StartText(
            $"""
            [services.app]
            command = {command.Trim()}
            ready = "notify"
            ready_timeout = "1h"
            notify_access = "all"
            {(command.Contains("read go", StringComparison.Ordinal) ? "start = \"manual\"" : "")}
            {keys}
            """,
            scratch =>
            {
                _ = scratch.Write("says.py", script ?? "");
                // The way to the sockets, which other users have to walk.
                File.SetUnixFileMode(scratch.FolderPath, (UnixFileMode)0b111_101_101);
            });
        _ = await supervisor.Event(command.Contains("read go", StringComparison.Ordinal) ? "supervisor-started" : "spawned");
        return supervisor;
    }

    /// <summary>A process that is none of the instance's, and stays.</summary>
    private static Command Stranger(Supervisor supervisor, int user, string says) => Command.Start(
        ["setpriv", $"--reuid={user}", $"--regid={user}", "--clear-groups", "/usr/bin/python3", "-c",
            Says + says + "\nprint('done', flush=True)\nsignal.pause()"],
        environment: new Dictionary<string, string> { ["NOTIFY_SOCKET"] = supervisor.Scratch.At("run/notify/1") });
}
