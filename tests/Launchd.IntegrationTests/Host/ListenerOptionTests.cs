using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>What a program leaves behind on the open file description of its listener, and what the next one finds.</summary>
public sealed class ListenerOptionTests
{
    /// <summary>Calls on socket <c>s</c>, and what an event says of each.</summary>
    public static TheoryData<string, string, string> Left => new()
    {
        { "tcp://127.0.0.1:0", "s.setsockopt(6, 9, 1)", "TCP_DEFER_ACCEPT was changed from 0 to 1" },
        { "tcp://127.0.0.1:0", "s.setsockopt(6, 1, 1)", "TCP_NODELAY was changed from 0 to 1" },
        { "tcp://127.0.0.1:0", "s.setsockopt(1, 15, 1)", "SO_REUSEPORT was changed from 0 to 1" },
        { "tcp://127.0.0.1:0", "s.setsockopt(1, 9, 1)", "SO_KEEPALIVE was changed from 0 to 1" },
        { "tcp://127.0.0.1:0", "s.setsockopt(1, 13, struct.pack('ii', 1, 0))", "SO_LINGER was changed from off to 0 s" },
        { "tcp://127.0.0.1:0", "s.setsockopt(0, 1, 16)", "IP_TOS was changed from 0 to 16" },
        { "tcp://127.0.0.1:0", "s.setsockopt(0, 2, 3)", "IP_TTL was changed from 64 to 3" },
        { "tcp://[::1]:0", "s.setsockopt(41, 67, 8)", "IPV6_TCLASS was changed from 0 to 8" },
        { "udp://127.0.0.1:0", "s.setsockopt(0, 8, 1)", "IP_PKTINFO was changed from 0 to 1" },
        { "unix:s.sock", "s.setsockopt(1, 16, 1)", "SO_PASSCRED was changed from 0 to 1" },
        { "unix:s.sock", "s.setsockopt(1, 20, struct.pack('ll', 2, 0))", "SO_RCVTIMEO was changed from 0 ms to 2000 ms" },
        { "unix-dgram:s.sock", "s.setblocking(False)", "O_NONBLOCK was changed from off to on" },
        { "tcp://127.0.0.1:0", "s.setblocking(False)", "O_NONBLOCK was changed from off to on" },
    };

    [TheoryWhenTool("python3")]
    [MemberData(nameof(Left))]
    public async Task WhatAProgramLeavesBehindIsPutBackBeforeTheNextStart(string listen, string call, string fault)
    {
        await using Supervisor supervisor = Start(listen, call);
        _ = await supervisor.Event("ready", "web");

        Assert.Equal(0, (await supervisor.Verb("restart", "web")).Code);

        Happening healed = await supervisor.Event("listener-healed");
        Assert.Equal((fault, "put back"), (healed.Text("fault"), healed.Text("remedy")));
        Assert.Equal(["web.0"], healed.Texts("holders"));
        string[] seen = Seen(supervisor);
        Assert.Equal(2, seen.Length);
        Assert.Equal(seen[0], seen[1]);
        // The third finds the same, and is not told of again.
        Assert.Equal(0, (await supervisor.Verb("restart", "web")).Code);
        Assert.Equal(seen[0], Seen(supervisor)[2]);
        _ = Assert.Single(supervisor.Events.All(), e => e.Kind == "listener-healed");
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task WithKeepOptionsTheyStay()
    {
        await using Supervisor supervisor = Start("tcp://127.0.0.1:0", "s.setsockopt(6, 1, 1)", "keep_options = true");
        _ = await supervisor.Event("ready", "web");

        Assert.Equal(0, (await supervisor.Verb("restart", "web")).Code);

        string[] seen = Seen(supervisor);
        Assert.NotEqual(seen[0], seen[1]);
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "listener-healed");
        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>The old instance may have set it on purpose, and works with it still.</summary>
    [FactWhenTool("python3")]
    public async Task BesideAnInstanceThatHasItNothingIsPutBack()
    {
        await using Supervisor supervisor = Start("tcp://127.0.0.1:0", "s.setsockopt(6, 1, 1)", update: "overlap");
        _ = await supervisor.Event("ready", "web");

        Assert.Equal(0, (await supervisor.Verb("restart", "web")).Code);

        string[] seen = Seen(supervisor);
        Assert.NotEqual(seen[0], seen[1]);
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "listener-healed");
        Assert.Equal(0, await supervisor.Stop());
    }

    [TheoryWhenTool("python3")]
    [InlineData("tcp://127.0.0.1:0")]
    [InlineData("unix:s.sock")]
    public async Task AShortQueueIsMendedWhileItsProgramRuns(string listen)
    {
        await using Supervisor supervisor = Start(listen, "s.listen(5)");

        Happening healed = await supervisor.Event("listener-healed");

        Assert.Equal(("its queue was shortened from 4096 to 5", "mended"), (healed.Text("fault"), healed.Text("remedy")));
        Assert.Equal(["web.0"], healed.Texts("holders"));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task AShortQueueIsMendedAlsoWhenItsServiceIsDown()
    {
        await using Supervisor supervisor = Start("tcp://127.0.0.1:0", "pass", last: "s.listen(5)");
        _ = await supervisor.Event("ready", "web");

        Assert.Equal(0, (await supervisor.Verb("stop", "web")).Code);

        Assert.Equal("its queue was shortened from 4096 to 5", (await supervisor.Event("listener-healed")).Text("fault"));
        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>Tells how it finds the socket, then does something to it.</summary>
    private static Supervisor Start(string listen, string call, string more = "", string update = "replace", string last = "pass") =>
        Supervisor.StartText($$"""
            [sockets.web]
            listen = "{{listen}}"
            {{more}}

            [services.web]
            command = ["python3", "-u", "-c", '''
            import fcntl, os, signal, socket, struct, sys
            s = socket.socket(fileno=os.dup(3))
            def options():
                for level, option, size in [(0, 1, 4), (0, 2, 4), (0, 8, 4), (1, 9, 4), (1, 13, 8), (1, 15, 4), (1, 16, 4), (1, 20, 16),
                        (6, 1, 4), (6, 9, 4), (41, 67, 4)]:
                    try: yield s.getsockopt(level, option, size).hex()
                    except OSError: yield "-"
                yield str(fcntl.fcntl(3, fcntl.F_GETFL) & os.O_NONBLOCK)
            open("seen", "a").write(" ".join(options()) + "\n")
            def end(*_):
                {{last}}
                sys.exit(0)
            signal.signal(signal.SIGTERM, end)
            {{call}}
            print("begun")
            while True: signal.pause()
            ''']
            sockets = ["web"]
            update = "{{update}}"
            rollout = { prove = "0s" }
            ready = { output = "begun" }
            """);

    private static string[] Seen(Supervisor supervisor) => File.ReadAllLines(supervisor.Scratch.At("seen"));
}
