using System.Net.Sockets;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>The runtime directory under a running supervisor, or a part of it, is removed by somebody who tidies up.</summary>
public sealed class RuntimeDirectoryLossTests
{
    [FactWhenTool("python3")]
    public async Task AControlSocketThatWasRemovedIsThereAgain()
    {
        await using Supervisor supervisor = await Start();

        File.Delete(supervisor.Scratch.At("run/control.sock"));

        Assert.Equal("control socket", (await supervisor.Event("runtime-directory-restored")).Text("what"));
        Assert.Equal(0, (await supervisor.Verb("status")).Code);
        Assert.Equal(0, await supervisor.Stop());
        Assert.False(Directory.Exists(supervisor.Scratch.At("run/links")));
    }

    [FactWhenTool("python3")]
    public async Task ADirectoryThatWasMovedAwayIsMadeAgain_TimeAndAgain()
    {
        await using Supervisor supervisor = await Start();
        for (int nth = 1; nth <= 3; nth++)
        {
            Directory.Move(supervisor.Scratch.At("run"), supervisor.Scratch.At("gone" + nth));

            Assert.Equal("directory", (await supervisor.Event("runtime-directory-restored", nth: nth)).Text("what"));
            Assert.Equal(0, (await supervisor.Verb("status")).Code);
            Directory.Delete(supervisor.Scratch.At("gone" + nth), recursive: true);
        }
        Assert.Equal(0, await supervisor.Stop());
        Assert.Empty(Directory.GetFileSystemEntries(supervisor.Scratch.At("run")));
    }

    [FactWhenTool("python3")]
    public async Task RunningProgramsAreHeardAgain_AndNewOnesBecomeReady()
    {
        await using Supervisor supervisor = await Start();

        await Lose(supervisor);

        // What the program was told at its start is still the address at which it is heard.
        string path = File.ReadAllText(supervisor.Scratch.At("told"));
        using (Socket client = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            await client.ConnectAsync(new UnixDomainSocketEndPoint(supervisor.Scratch.At("web.sock")));
            _ = client.Send("x"u8);
        }
        Happening told = await supervisor.Event("notified", "web", nth: 2);
        Assert.Contains("STATUS=heard", told.Texts("lines"));
        Assert.True(File.Exists(path), path);
        Assert.Equal(0, (await supervisor.Verb("restart", "web")).Code);
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task PathsOfListenersHaveASecondNameAgain()
    {
        await using Supervisor supervisor = await Start();
        await Lose(supervisor);
        using (ControlSocket control = await ControlSocket.To(supervisor))
        {
            string links = supervisor.Scratch.At("run/links");
            await control.Until(() => Directory.Exists(links) && Directory.GetFiles(links).Length == 1, () => "no second name");
        }

        File.Delete(supervisor.Scratch.At("web.sock"));

        Assert.Equal("linked back", (await supervisor.Event("listener-healed")).Text("remedy"));
        Assert.Equal(1, supervisor.Events.All().Count(e => e.Kind == "spawned"));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task NoSecondSupervisorTakesTheName()
    {
        await using Supervisor supervisor = await Start();
        await Lose(supervisor);

        (int code, _, string errors) = await supervisor.Verb("run", supervisor.Scratch.At("config.toml"));

        Assert.NotEqual(0, code);
        Assert.Contains("another supervisor", errors, StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    private static async Task Lose(Supervisor supervisor)
    {
        Directory.Move(supervisor.Scratch.At("run"), supervisor.Scratch.At("gone"));
        _ = await supervisor.Event("runtime-directory-restored");
        Directory.Delete(supervisor.Scratch.At("gone"), recursive: true);
    }

    private static async Task<Supervisor> Start()
    {
        Supervisor supervisor = Supervisor.StartText("""
            [sockets.web]
            listen = "unix:web.sock"

            [services.web]
            command = ["python3", "-u", "-c", '''
            import os, socket
            path = os.environ["NOTIFY_SOCKET"]
            open("told", "w").write(path)
            def say(text):
                with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as n: n.sendto(text, path)
            say(b"READY=1")
            s = socket.socket(fileno=3)
            while True:
                c, _ = s.accept()
                c.recv(1)
                say(b"STATUS=heard")
            ''']
            sockets = ["web"]
            ready = "notify"
            rollout = { prove = "0s" }
            """);
        _ = await supervisor.Event("ready", "web");
        return supervisor;
    }
}
