using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Services with a terminal of their own, and operators who attach to it.</summary>
public sealed class TerminalTests
{
    // It keeps its output back where it has no terminal.
    private const string Talk = """
        import os
        open("/dev/tty", "w").write("%s %s %s\n" % ([os.isatty(i) for i in range(3)], os.tcgetpgrp(0) == os.getpid(), os.environ["TERM"]))
        print("listening")
        while True:
            line = input("> ")
            if line == "end":
                break
            print("size", *os.get_terminal_size()) if line == "size" else print("heard", line)
        """;

    // An operator's terminal, made here: types, waits for what is shown, and looks whether its modes are as before.
    private const string Operator = """
        import fcntl, os, pty, select, signal, struct, subprocess, sys, termios
        master, slave = pty.openpty()
        before = termios.tcgetattr(slave)
        def resize(columns, rows):
            fcntl.ioctl(master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        def attach(*more):
            return subprocess.Popen(sys.argv[1:] + ["attach", "talk", *more], stdin=slave, stdout=slave, stderr=slave,
                start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        unread = b""
        def expect(text):
            global unread
            while text.encode() not in unread:
                assert select.select([master], [], [], 60)[0], (text, unread)
                unread += os.read(master, 4096)
            seen, _, unread = unread.partition(text.encode())
            return seen
        def send(text):
            os.write(master, text.encode())
        def ended(process):
            assert process.wait(60) == 0
            assert termios.tcgetattr(slave) == before
        resize(100, 30)
        one = attach()
        expect("talk.0")
        send("hello\r"); expect("heard hello")
        send("size\r"); expect("size 100 30")
        resize(111, 40)
        send("size\r")
        while b"size 111 40" not in expect("> "):
            send("size\r")
        send("\x1d"); expect("detached from talk.0, which goes on"); ended(one)
        two = attach("--detach-keys", "ctrl-p,q")
        expect("Ctrl-P q detaches"); expect("> ")
        two.send_signal(signal.SIGTERM); expect("detached from"); ended(two)
        fast = attach()
        expect("detaches"); send("quick\r\x1d"); expect("detached from"); ended(fast)
        shown = attach("--read-only")
        expect("heard quick"); shown.send_signal(signal.SIGTERM); expect("detached from"); ended(shown)
        three = attach("--read-only")
        expect("to look only"); expect("> ")
        send("x\x03"); expect("detached from"); ended(three)
        four = attach()
        expect("> "); send("end\r"); expect("talk.0 has ended; talk is "); ended(four)
        """;

    [FactWhenTool("python3")]
    public async Task AProgramHasATerminal_AndAnOperatorAttachesToIt()
    {
        await using Supervisor supervisor = Start("""
            [services.talk]
            command = ["python3", "talk.py"]
            terminal = true
            restart = "never"
            ready = { output = "^listening" }
            [services.broken]
            command = ["./missing"]
            terminal = true
            restart = "never"
            [services.plain]
            command = ["sleep", "2147483647"]
            """);
        _ = await supervisor.Event("ready", "talk");
        (_, string log, _) = await supervisor.Verb("logs", "talk");
        Assert.Contains("[True, True, True] True xterm-256color", log, StringComparison.Ordinal);

        await using Command at = Command.Start(
            ["python3", supervisor.Scratch.At("operator.py"), .. Repository.LaunchdCommand], supervisor.Scratch.FolderPath,
            new Dictionary<string, string> { ["LAUNCHD_RUNTIME_DIRECTORY"] = supervisor.Scratch.At("run") });
        Assert.True(await at.Exit() == 0, $"{at.Output}\n{at.Errors}");

        (int code, _, string errors) = await supervisor.Verb("attach", "talk");
        Assert.True(code == 1 && errors.Contains("'talk' has no running instance", StringComparison.Ordinal), errors);
        (code, _, errors) = await supervisor.Verb("attach", "plain");
        Assert.True(code == 1 && errors.Contains("write terminal = true", StringComparison.Ordinal), errors);
        // Of what has ended, and of what was never born, no end is left open.
        _ = await supervisor.Event("failed", "broken");
        int pid = await supervisor.Pid();
        using ControlSocket control = await ControlSocket.To(supervisor);
        await control.Until(() => TerminalsOf(pid) == 0, () => $"{TerminalsOf(pid)} ends of terminals");
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task WhatClosesItsTerminalAndOpensItAgain_IsNotHungUp_AndWhatIsPipedIsTyped()
    {
        await using Supervisor supervisor = Start("""
            [services.closer]
            command = ["python3", "-c", '''
            import os, time
            os.mkfifo("go")
            print("first", flush=True)
            for i in range(3):
                os.close(i)
            go = os.open("go", os.O_RDONLY)
            os.read(go, 1)
            os.close(go)
            os.open("/dev/tty", os.O_RDWR)
            os.write(0, b"open again\n")
            os.write(0, b"and " + os.read(0, 100))
            time.sleep(100000)
            ''']
            terminal = true
            ready = { output = "first" }
            """);
        _ = await supervisor.Event("ready", "closer");
        // It can be opened once the program has closed its end; and the log pump has heard of that when it answers.
        await using (FileStream go = await Deadline.Await(
            Task.Run(() => new FileStream(supervisor.Scratch.At("go"), FileMode.Open, FileAccess.Write)), "closed terminal",
            () => string.Join('\n', supervisor.Events.All())))
        {
            Assert.Equal(0, (await supervisor.Verb("logs", "closer")).Code);
            go.WriteByte(1);
        }

        await using Command typed = Command.Start(
            ["sh", "-c", "echo heard | exec \"$@\"", "sh", .. Repository.LaunchdCommand, "attach", "closer"],
            supervisor.Scratch.FolderPath,
            new Dictionary<string, string> { ["LAUNCHD_RUNTIME_DIRECTORY"] = supervisor.Scratch.At("run") });
        _ = await typed.Output.First(l => l.Contains("and heard", StringComparison.Ordinal), "what was typed");
        Assert.Equal(0, (await supervisor.Verb("stop", "closer")).Code);

        Assert.Equal(0, await typed.Exit());
        Assert.Contains("closer.0 has ended; closer is stopped", typed.Errors.ToString(), StringComparison.Ordinal);
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "restarting");
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task WhoTypesToAProgramThatDoesNotRead_HearsThatItHasEnded_AndHowMuchIsLost()
    {
        await using Supervisor supervisor = Start("""
            [services.deaf]
            command = ["python3", "-c", '''
            import os, signal, tty
            tty.setraw(0)
            print("listening", end="\r\n", flush=True)
            os.read(0, 1)
            print("enough", end="\r\n", flush=True)
            signal.pause()
            ''']
            terminal = true
            ready = { output = "listening" }
            """);
        _ = await supervisor.Event("ready", "deaf");

        await using Command typed = Command.Start(
            ["sh", "-c", "yes | head -c 4000000 | exec \"$@\"", "sh", .. Repository.LaunchdCommand, "attach", "deaf"],
            supervisor.Scratch.FolderPath,
            new Dictionary<string, string> { ["LAUNCHD_RUNTIME_DIRECTORY"] = supervisor.Scratch.At("run") });
        _ = await typed.Output.First(l => l.Contains("enough", StringComparison.Ordinal), "the first byte");
        Assert.Equal(0, (await supervisor.Verb("stop", "deaf")).Code);

        Assert.True(await typed.Exit() == 0, typed.Errors.ToString());
        Assert.Contains("deaf.0 has ended; deaf is stopped", typed.Errors.ToString(), StringComparison.Ordinal);
        Assert.Contains("typed bytes are lost", typed.Errors.ToString(), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRootAndTool("python3")]
    public async Task TheTerminalBelongsToTheUser_WhoOpensItsStreamsAnew()
    {
        await using Supervisor supervisor = Start("""
            [services.user]
            command = ["python3", "-c", '''
            import os, time
            for name in "tty", "stdin", "stderr":
                open("/dev/" + name, "w").write(name + "\n")
            print("owner", os.stat("/dev/stdin").st_uid == os.getuid(), os.getuid() > 0)
            time.sleep(100000)
            ''']
            terminal = true
            user = "nobody"
            working_directory = "/"
            ready = { output = "owner True True" }
            """);

        _ = await supervisor.Event("ready", "user");

        (_, string log, _) = await supervisor.Verb("logs", "user");
        Assert.All(["tty", "stdin", "stderr"], name => Assert.Contains("│ " + name, log, StringComparison.Ordinal));
        Assert.Equal(0, await supervisor.Stop());
    }

    private static Supervisor Start(string text) => Supervisor.StartText(text, scratch =>
    {
        _ = scratch.Write("talk.py", Talk);
        _ = scratch.Write("operator.py", Operator);
    });

    private static int TerminalsOf(int pid) => Directory.GetFileSystemEntries($"/proc/{pid}/fd").Count(
        of => new FileInfo(of).LinkTarget is { } link
            && (link.EndsWith("/ptmx", StringComparison.Ordinal) || link.StartsWith("/dev/pts/", StringComparison.Ordinal)));
}
