using System.Net;
using System.Net.Sockets;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Sockets that a service manager has opened, as a socket unit of systemd does, and passed to the supervisor.</summary>
public sealed class InheritedSocketTests
{
    // Opens sockets as a manager does, says where, and becomes the supervisor.
    private const string Manager = """
        import os, socket, sys
        tcp = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); udp.bind(("127.0.0.1", 0))
        unix = socket.socket(socket.AF_UNIX); unix.bind("\0given-%d" % os.getpid()); unix.listen()
        tcp[0].setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        all = tcp + [udp, unix]
        print("ports " + " ".join(str(s.getsockname()[1]) for s in tcp + [udp]), flush=True)
        high = [__import__("fcntl").fcntl(s, 0, 200) for s in all]
        for i, fd in enumerate(high):
            os.dup2(fd, 3 + i)
        os.closerange(3 + len(all), 300)
        os.environ.update(LISTEN_FDS="5", LISTEN_PID=str(os.getpid()), LISTEN_FDNAMES="web:web:spare:data:given")
        os.execvp(sys.argv[1], sys.argv[1:])
        """;

    private const string Web = """

        [services.web]
        command = ["python3", "-u", "-c", '''
        import select, socket
        fds = [socket.socket(fileno=3 + i) for i in range(4)]
        print("keepalive", fds[0].getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), flush=True)
        while True:
            for s in select.select(fds, [], [])[0]:
                if s.type == socket.SOCK_DGRAM:
                    data, who = s.recvfrom(100); s.sendto(b"data", who)
                else:
                    c, _ = s.accept(); c.recv(100); c.sendall(b"unix" if s.family == socket.AF_UNIX else b"web"); c.close()
        ''']
        """;

    [FactWhenTool("python3")]
    public async Task AServiceIsGivenThem_ByNameAndNumber()
    {
        await using Supervisor supervisor = Supervisor.StartTextBy(["python3", "-c", Manager], """
            [sockets.all]
            listen = ["inherited:web", "inherited:web#2", "inherited:data", "inherited:given"]
            """ + Web + "\nsockets = [\"all\"]\n");
        int[] ports = await Ports(supervisor);
        _ = await supervisor.Output.First(l => l.EndsWith("keepalive 1", StringComparison.Ordinal), "the option that the manager has set");
        Assert.Equal("web", await Supervisor.Ask(new IPEndPoint(IPAddress.Loopback, ports[0]), "?"));
        Assert.Equal("web", await Supervisor.Ask(new IPEndPoint(IPAddress.Loopback, ports[1]), "?"));
        Assert.Equal("unix", await Supervisor.Ask($"\0given-{supervisor.StartedPid}", "?"));
        using Socket client = new(AddressFamily.InterNetwork, SocketType.Dgram, ProtocolType.Udp);
        await client.ConnectAsync(IPAddress.Loopback, ports[3]);
        await client.SendAsync("?"u8.ToArray());
        byte[] answer = new byte[10];
        using CancellationTokenSource deadline = new(Deadline.Generous);
        Assert.Equal(4, await client.ReceiveAsync(answer, deadline.Token));
        // What nobody takes is said, with what would take it.
        _ = await supervisor.Errors.First(
            l => l.Contains($"passed spare (127.0.0.1:{ports[2]})", StringComparison.Ordinal)
                && l.Contains("listen = \"inherited:spare\"", StringComparison.Ordinal), "the warning");
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task AReloadTakesOne_LetsItGo_AndTakesItAgain()
    {
        const string With = """
            [sockets.spare]
            listen = "inherited:spare"
            [services.each]
            command = ["/bin/cat"]
            sockets = ["spare"]
            start = "connection"
            input = "socket"
            output = "socket"
            """;
        await using Supervisor supervisor = Supervisor.StartTextBy(["python3", "-c", Manager], "");
        IPEndPoint spare = new(IPAddress.Loopback, (await Ports(supervisor))[2]);
        _ = await supervisor.Event("supervisor-started");
        foreach (string asked in (string[])["one", "two"])
        {
            // It comes before anybody is there to serve it.
            Task<string> answer = Supervisor.Ask(spare, asked);
            await Reload(supervisor, With);
            Assert.Equal(asked, await answer);
            await Reload(supervisor, "");
        }
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task WhatWasNotPassedIsNamed_WithWhatWas()
    {
        await using Supervisor supervisor = Supervisor.StartTextBy(
            ["python3", "-c", Manager], "sockets.web.listen = \"inherited:wbe\"\n");
        Assert.Equal(71, await supervisor.Ended());
        Assert.Contains("sockets.web: cannot take inherited:wbe: No such file or directory (the service manager has passed "
            + "inherited:web, inherited:web#2, inherited:spare, inherited:data, inherited:given)",
            supervisor.Errors.ToString(), StringComparison.Ordinal);
    }

    [FactWhenTool("python3")]
    public async Task DatagramsAreNoConnections()
    {
        await using Supervisor supervisor = Supervisor.StartTextBy(["python3", "-c", Manager],
            "sockets.data.listen = \"inherited:data\"\nservices.each = "
            + "{ command = [\"/bin/cat\"], sockets = [\"data\"], start = \"connection\", input = \"socket\" }\n");
        Assert.Equal(71, await supervisor.Ended());
        Assert.Contains("no connections come to udp://127.0.0.1:", supervisor.Errors.ToString(), StringComparison.Ordinal);
    }

    private static async Task<int[]> Ports(Supervisor supervisor)
    {
        string line = await supervisor.Output.First(l => l.StartsWith("ports ", StringComparison.Ordinal), "the ports");
        return [.. line.Split(' ').Skip(1).Select(int.Parse)];
    }

    private static async Task Reload(Supervisor supervisor, string text)
    {
        supervisor.Scratch.Write("config.toml", Supervisor.WithRuntimeDirectory(text));
        (int code, _, string errors) = await supervisor.Verb("reload");
        Assert.True(code == 0, errors);
    }
}
