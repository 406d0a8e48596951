using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Processes that still have a listener when the instance that it was given to is over.</summary>
public sealed class LeftHolderTests
{
    [TheoryWhenTool("python3")]
    [InlineData("process", "tcp://127.0.0.1:0", "")]
    [InlineData("group", "unix:web.sock", "os.setsid()")]
    public async Task AWorkerThatServesOnIsNamed_UntilItEnds(string kill, string listen, string leave)
    {
        await using Supervisor supervisor = Start(kill, listen, leave);
        Happening ready = await supervisor.Event("ready", "web");

        Living.Kill(ready.Pid);

        Happening told = await supervisor.Event("listener-held");
        Assert.Equal(("web", "web.0"), (told.Text("socket"), told.Text("left_by")));
        Assert.StartsWith("python3", told.Text("command"), StringComparison.Ordinal);
        Assert.NotEqual(ready.Pid, told.Pid);
        using ControlSocket control = await ControlSocket.To(supervisor);
        Assert.StartsWith($"process {told.Pid} (python3", await control.Trouble("web"), StringComparison.Ordinal);

        // The instance that came next belongs to nobody who was left.
        Assert.Single(supervisor.Events.All(), e => e.Kind == "listener-held");
        Living.Kill(told.Pid);
        await control.UntilNoTrouble("web");
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task WhomAProgramHasPassedItToIsNamedAsAStranger()
    {
        using Scratch scratch = new();
        await using Command stranger = Command.Start(["python3", "-u", "-c", """
            import array, os, signal, socket
            s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            s.bind("to-me")
            print("waits", flush=True)
            s.recvmsg(1, socket.CMSG_SPACE(4))
            print("has it", flush=True)
            signal.pause()
            """], scratch.FolderPath, new Dictionary<string, string>());
        await stranger.Output.First(line => line == "waits", "its socket");
        await using Supervisor supervisor = Start("tree", "tcp://127.0.0.1:0", "", $"""
            t = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            if not os.path.exists("born"):
                t.connect("{scratch.At("to-me")}")
                socket.send_fds(t, [b"x"], [3])
            """);
        Happening ready = await supervisor.Event("ready", "web");
        await stranger.Output.First(line => line == "has it", "the listener");

        Living.Kill(ready.Pid);

        Happening told = await supervisor.Event("listener-held");
        Assert.Equal((stranger.Pid, null), (told.Pid, told.Json.GetProperty("left_by").GetString()));
        Assert.Equal(0, await supervisor.Stop());
    }

    private static Supervisor Start(string kill, string listen, string leave, string more = "pass") => Supervisor.StartText($$"""
        [sockets.web]
        listen = "{{listen}}"

        [services.web]
        command = ["python3", "-u", "-c", '''
        import os, signal, socket
        {{more}}
        if not os.path.exists("born"):
            open("born", "w").close()
            told, tells = os.pipe()
            if os.fork() == 0:
                {{(leave.Length > 0 ? leave : "pass")}}
                os.write(tells, b"x")
                signal.pause()
            os.read(told, 1)
        print("begun")
        while True: signal.pause()
        ''']
        sockets = ["web"]
        kill = "{{kill}}"
        ready = { output = "begun" }
        """);
}
