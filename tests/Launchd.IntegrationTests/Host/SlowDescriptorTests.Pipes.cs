using System.Diagnostics;
using System.Globalization;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Pipes whose lock somebody holds: who closes the last copy of one waits, and hears no signal, not even SIGKILL.</summary>
public sealed partial class SlowDescriptorTests
{
    [FactWhenRootAndTool("python3")]
    public async Task APipeThatSomebodyHolds_StopsNeitherTheLoopNorTheEnd()
    {
        await using Supervisor supervisor = Start(null, """
            describe = b'{"method":"org.launchd-cs.Instance.Describe","oneway":true}'
            store = b'{"method":"org.launchd-cs.Instance.%s","parameters":{"name":"%s"},"oneway":true}'
            some = stuck_pipe(9)
            all_at_once(
                (notifying, b"BARRIER=1", some[0:1]), (notifying, b"STATUS=x", some[1:2]), (notifying, b"nonsense", some[2:3]),
                (notifying, bytes(5000), some[3:4]), (notifying, b"FDSTORE=1\nFDNAME=a", some[4:5]),
                (notifying, b"FDSTOREREMOVE=1\nFDNAME=a", []),
                (channel, describe, some[5:6]), (channel, bytes(65537), some[6:7]), (channel, store % (b"Store", b"b"), some[7:8]),
                (channel, store % (b"Unstore", b"b"), []), (channel, store % (b"Store", b"kept"), some[8:9]))
            print(call("Describe"), "told", flush=True)
            signal.pause()
            """, "fd_store_keep = \"always\"\n");
        await Line(supervisor, "told");
        using ControlSocket control = await ControlSocket.To(supervisor);

        await AssertPrompt(control);

        Assert.Equal(0, await supervisor.Stop());
    }

    [TheoryWhenRootAndTool("python3")]
    [InlineData(0, false)]
    [InlineData(65534, false)]
    [InlineData(65534, true)]
    public async Task AStrangersPipe_StopsNobody(int user, bool isKilled)
    {
        await using Supervisor supervisor = Start(null, "print('here', flush=True); signal.pause()");
        await Line(supervisor, "here");
        // Its pipes are among those that were there before.
        _ = await supervisor.Event("ready", "other");
        int pid = await supervisor.Pid();
        HashSet<string> before = PipesOf(pid);
        // While the supervisor does not look, so that it is the last that has them.
        Living.Signal(pid, Living.SIGSTOP);
        using Process stranger = Stranger(supervisor, user, """
            messages = b"X=1", b"STATUS=x", bytes(5000), b"BARRIER=1"
            for message, end in zip(messages, stuck_pipe(len(messages))):
                notifying.sendmsg([message], rights([end.fileno()]))
                end.close()
            print("sent", flush=True)
            while True: signal.pause()
            """);
        Assert.Equal("sent", await stranger.StandardOutput.ReadLineAsync().WaitAsync(Deadline.Generous));
        Living.Signal(pid, Living.SIGCONT);
        using ControlSocket control = await ControlSocket.To(supervisor);

        await AssertPrompt(control);

        Assert.Equal(2, await control.Counter("notifications-refused"));
        if (!isKilled)
        {
            Assert.Equal(0, await supervisor.Stop());
        }
        else
        {
            // Until a process of their own has them, whoever ends with them in its table, or in a queue of it, waits for them. They go from
            // a queue into the table, and from there by another queue into that process.
            await control.Until(
                () => QueuedIn(pid) == 0 && PipesOf(pid).IsSubsetOf(before) && QueuedIn(pid) == 0,
                () => $"{QueuedIn(pid)} {string.Join(' ', PipesOf(pid))}");
            using Process killed = Process.GetProcessById(pid);
            killed.Kill();
            await killed.WaitForExitAsync().WaitAsync(Deadline.Generous);
        }
        Assert.False(stranger.HasExited);
        stranger.Kill();
    }

    /// <summary>Descriptors that were sent and not received yet.</summary>
    private static int QueuedIn(int pid)
    {
        const string name = "scm_fds: ";
        int count = 0;
        foreach (string info in Directory.GetFiles($"/proc/{pid}/fdinfo"))
        {
            try
            {
                string? line = File.ReadLines(info).FirstOrDefault(l => l.StartsWith(name, StringComparison.Ordinal));
                count += line is null ? 0 : int.Parse(line[name.Length..], CultureInfo.InvariantCulture);
            }
            catch (IOException)
            {
                // Closed meanwhile: then nothing is in its queue.
            }
        }
        return count;
    }

    private static HashSet<string> PipesOf(int pid) =>
        [.. Directory.GetFiles($"/proc/{pid}/fd").Select(f => new FileInfo(f).LinkTarget ?? "")
            .Where(t => t.StartsWith("pipe:", StringComparison.Ordinal))];

    [FactWhenRootAndTool("python3")]
    public async Task AStrangersFlood_IsRefused_AndTheServiceIsHeard()
    {
        await using Supervisor supervisor = Start(null, """
            signal.signal(signal.SIGUSR1, lambda *_: notifying.send(b"STATUS=still heard"))
            print("here", flush=True)
            while True: signal.pause()
            """, "notify_access = \"main\"\n");
        await Line(supervisor, "here");
        using Process stranger = Stranger(supervisor, 65534, """
            try:
                for end in stuck_pipe(900):
                    notifying.sendmsg([b"X=1"], rights([end.fileno()]))
                    # By a thread, which waits itself where the supervisor was faster.
                    threading.Thread(target=end.close, daemon=True).start()
                print("all", flush=True)
            except PermissionError:
                print("refused", flush=True)
            while True: signal.pause()
            """);
        string? said = await stranger.StandardOutput.ReadLineAsync().WaitAsync(Deadline.Generous);
        using ControlSocket control = await ControlSocket.To(supervisor);

        await AssertPrompt(control);

        if (Environment.OSVersion.Version >= new Version(6, 16))
        {
            Assert.Equal("refused", said);
            _ = await supervisor.Verb("signal", "USR1", "app");
            _ = await supervisor.Events.First(e => e.Texts("lines").Contains("STATUS=still heard"), "a word of the service");
        }
        Assert.Equal(0, await supervisor.Stop());
        stranger.Kill();
    }

    [FactWhenRootAndTool("python3")]
    public async Task WhatIsNoPidfdIsNotLookedAt()
    {
        await using Supervisor supervisor = Start(null, """
            import select
            for one in select.epoll(), socket.socket(), open("/proc/self/stat"):
                notifying.sendmsg([b"MAINPIDFD=1"], rights([one.fileno()]))
            notifying.sendmsg([b"MAINPIDFD=1"], rights([os.open("/proc/self", os.O_RDONLY)]))
            print("told", flush=True)
            signal.pause()
            """);
        await Line(supervisor, "told");
        using ControlSocket control = await ControlSocket.To(supervisor);

        Assert.Equal(4, await control.Counter("main-pid-refused"));
        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>
    /// A process that is none of the supervisor's, connected to the notify socket of the first instance; then it is that user's.
    /// </summary>
    private static Process Stranger(Supervisor supervisor, int user, string program)
    {
        string text = Preamble.Replace(
            "channel = socket.socket(fileno=int(os.environ[\"LAUNCHD_CHANNEL\"]))\n", "", StringComparison.Ordinal)
            .Replace("os.environ[\"NOTIFY_SOCKET\"]", "sys.stdin.readline().strip()", StringComparison.Ordinal)
            + $"if {user}: os.setgroups([]); os.setgid({user}); os.setuid({user})\n"
            // Its /proc is its own user's again.
            + "libc = ctypes.CDLL(None); libc.prctl(4, 1, 0, 0, 0)\n" + program;
        ProcessStartInfo start = new("python3", ["-c", text])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true, WorkingDirectory = "/",
        };
        Process stranger = Process.Start(start)!;
        stranger.StandardInput.WriteLine(supervisor.Scratch.At("run/notify/1"));
        stranger.StandardInput.Flush();
        return stranger;
    }
}
