using System.Diagnostics;
using System.Net.Sockets;

namespace Launchd.Probe;

/// <summary>Carries out the steps.</summary>
internal sealed class Runner(Signals signals)
{
    private static readonly Dictionary<string, int> SignalNumbers = new(StringComparer.OrdinalIgnoreCase)
    {
        ["HUP"] = 1, ["INT"] = 2, ["QUIT"] = 3, ["ABRT"] = 6, ["KILL"] = 9, ["USR1"] = 10, ["SEGV"] = 11, ["USR2"] = 12, ["PIPE"] = 13,
        ["ALRM"] = 14, ["TERM"] = 15, ["STOP"] = 19,
    };

    private string? _greeting;

    public void Run(IReadOnlyList<Step> steps)
    {
        foreach (Step step in steps)
        {
            if (!Say(step) && !Notify(step) && !Live(step) && !Serve(step))
                throw new UsageException($"unknown option '{step.Option}'");
        }
    }

    private static bool Say(Step step)
    {
        switch (step.Option)
        {
            case "--audit": Audit.Print(); return true;
            case "--line": Output.Raw(Utf8(step.Text() + "\n")); return true;
            case "--unfinished": Output.Raw(Utf8(step.Text())); return true;
            case "--error-line": Console.Error.WriteLine(step.Text()); return true;
            case "--write-bytes": WriteBytes(step.Number()); return true;
            case "--read-fd": Descriptors.PrintContent(step.Text()); return true;
            default: return false;
        }
    }

    private bool Notify(Step step)
    {
        switch (step.Option)
        {
            case "--ready": Notifier.Send(["READY=1"]); return true;
            case "--ready-after":
                signals.Pass(step.Duration());
                Notifier.Send(["READY=1"]);
                return true;
            case "--never-ready": return true;
            case "--ready-fd": Descriptors.WriteNewlineAndClose(step.Number()); return true;
            case "--notify": Notifier.Send(step.Values); return true;
            case "--notify-from-child": RunSelf(["--notify", .. step.Values, "--exit", "0"]); return true;
            case "--barrier": Notifier.Barrier(); return true;
            case "--store-fd": Notifier.Store(step.Text()); return true;
            case "--remove-fd": Notifier.Send(["FDSTOREREMOVE=1", "FDNAME=" + step.Text()]); return true;
            case "--garbage-notify": Notifier.SendGarbage(); return true;
            case "--watchdog": Watchdog(count: int.MaxValue); return true;
            case "--watchdog-for": Watchdog(step.Number()); return true;
            default: return false;
        }
    }

    private bool Live(Step step)
    {
        switch (step.Option)
        {
            case "--after": signals.Pass(step.Duration()); return true;
            case "--wait": Wait(step.Text()); return true;
            case "--exit": Exit(step.Number()); return true;
            case "--exit-after":
                (TimeSpan after, int code) = step.DurationAndCode();
                signals.Pass(after);
                Exit(code);
                return true;
            case "--fail-times": FailTimes(step.Number(), step.Text(1)); return true;
            case "--signal-self": SignalSelf(step.Text()); return true;
            default: return false;
        }
    }

    private bool Serve(Step step)
    {
        switch (step.Option)
        {
            case "--greet": _greeting = step.Text(); return true;
            case "--echo": Echo.Serve(_greeting); return true;
            case "--take": Take.All(); return true;
            case "--ask": Ask(step.Text(), step.Text(1)); return true;
            case "--fork-child": Fork("sleep 3600 </dev/null >/dev/null 2>&1 & echo $!; wait", waits: false); return true;
            // sh leaves at once, so that the sleeper is an orphan; setsid(1) execs in place, so that $! is its pid.
            case "--fork-daemon": Fork("setsid sleep 3600 </dev/null >/dev/null 2>&1 & echo $!", waits: true); return true;
            default: return false;
        }
    }

    private static void Ask(string path, string text)
    {
        using Socket client = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        client.Connect(new UnixDomainSocketEndPoint(path));
        // Before the half-close, after which it would take the socket for one that is not connected.
        using StreamReader answer = new(new NetworkStream(client));
        client.Send(Utf8(text));
        client.Shutdown(SocketShutdown.Send);
        string all = answer.ReadToEnd();
        Output.Line("answered", json => json.WriteString("text", all));
    }

    private static void Exit(int code)
    {
        Output.Line("exiting", json => json.WriteNumber("code", code));
        Libc._exit(code);
    }

    private static void Wait(string path)
    {
        // fifo(7): opening for reading blocks until there is a writer.
        using FileStream file = new(path, FileMode.Open, System.IO.FileAccess.Read, FileShare.ReadWrite);
        _ = file.ReadByte();
        Output.Line("waited", json => json.WriteString("path", path));
    }

    private static void FailTimes(int times, string path)
    {
        using FileStream file = new(path, FileMode.Append, System.IO.FileAccess.Write);
        if (file.Position >= times)
            return;
        file.WriteByte((byte)'.');
        file.Flush();
        Exit(1);
    }

    private static void SignalSelf(string name)
    {
        if (!SignalNumbers.TryGetValue(name, out int number))
            throw new UsageException($"--signal-self: unknown signal '{name}'");
        // The runtime catches some of these: a death by the signal needs its default back.
        Libc.signal(number, 0);
        if (Libc.kill(Environment.ProcessId, number) != 0)
            throw new UsageException("--signal-self: kill(2) refused");
    }

    private static void WriteBytes(int count)
    {
        byte[] line = new byte[80];
        for (int written = 0; written < count; written += line.Length)
        {
            int length = Math.Min(line.Length, count - written);
            line.AsSpan().Fill((byte)('a' + (written / 80 % 26)));
            line[length - 1] = (byte)'\n';
            Output.Raw(line.AsSpan(0, length));
        }
    }

    private void Watchdog(int count)
    {
        if (!long.TryParse(Environment.GetEnvironmentVariable("WATCHDOG_USEC"), out long microseconds))
            throw new UsageException("--watchdog: no WATCHDOG_USEC in the environment");
        TimeSpan half = TimeSpan.FromMicroseconds(microseconds / 2);
        Thread pinger = new(() =>
        {
            for (int sent = 0; sent < count; sent++)
            {
                Notifier.Send(["WATCHDOG=1"]);
                signals.Pass(half);
            }
            Output.Line("watchdog-silent");
        })
        { IsBackground = true };
        pinger.Start();
    }

    private static void RunSelf(string[] arguments)
    {
        string program = Environment.ProcessPath ?? throw new InvalidOperationException("no path of this process");
        bool isHost = Path.GetFileNameWithoutExtension(program) == "dotnet";
        ProcessStartInfo start = new(program);
        if (isHost)
            start.ArgumentList.Add(Path.Combine(AppContext.BaseDirectory, "probe.dll"));
        foreach (string argument in arguments)
            start.ArgumentList.Add(argument);
        using Process child = Process.Start(start) ?? throw new InvalidOperationException("no child");
        child.WaitForExit();
        int code = child.ExitCode;
        Output.Line("child-done", json => json.WriteNumber("code", code));
    }

    private static void Fork(string script, bool waits)
    {
        ProcessStartInfo start = new("/bin/sh") { ArgumentList = { "-c", script }, RedirectStandardOutput = true };
        Process shell = Process.Start(start) ?? throw new InvalidOperationException("no child");
        int pid = int.Parse(shell.StandardOutput.ReadLine() ?? throw new InvalidOperationException("no pid"));
        if (waits)
            shell.WaitForExit();
        Output.Line("forked", json =>
        {
            json.WriteNumber("pid", pid);
            json.WriteNumber("shell", shell.Id);
        });
    }

    private static byte[] Utf8(string text) => System.Text.Encoding.UTF8.GetBytes(text);
}
