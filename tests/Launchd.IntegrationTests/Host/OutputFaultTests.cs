using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Whatever happens to the places where output goes: it never stops, blocks or kills the supervisor or a service.</summary>
[Collection(nameof(Supervisors))]
public sealed class OutputFaultTests
{
    /// <summary>Writes more than every pipe and buffer on the way holds, then says so by its exit code.</summary>
    private const string Loud = """
        [services.loud]
        command = ["/bin/sh", "-c", "head -c 4000000 /dev/zero | tr '\\0' 'x' | fold -w 99; exit 0"]
        restart = "never"
        [services.quiet]
        command = ["sleep", "2147483647"]

        """;

    [Theory]
    [InlineData("exec \"$0\" \"$@\" > /dev/full 2> /dev/full")]
    [InlineData("exec \"$0\" \"$@\" >&-")]
    [InlineData("exec \"$0\" \"$@\" 2>&-")]
    [InlineData("exec \"$0\" \"$@\" <&- >&- 2>&-")]
    // A reader that never reads, and one that went away.
    [InlineData("mkfifo stuck; exec 7<> stuck; exec \"$0\" \"$@\" > stuck 2>&1")]
    [InlineData("mkfifo gone; exec 7<> gone; exec 8> gone 7<&-; exec \"$0\" \"$@\" >&8 2>&8 8>&-")]
    public async Task WhateverBecomesOfOurOwnOutput_ServicesRunAndAreAnswered(string start)
    {
        await using Supervisor supervisor = Supervisor.StartTextBy(["/bin/sh", "-c", start], Loud);

        Assert.Equal(0, (await supervisor.Event("exited", "loud")).Number("code"));
        _ = await supervisor.Event("ready", "quiet");
        using ControlSocket control = await ControlSocket.To(supervisor);
        Assert.Equal("stopped", (await control.Service("loud")).GetProperty("state").GetString());
        // Nothing of what we had open stands in the place of a descriptor that was missing.
        _ = await control.Call("Start", """{"services":["loud"]}""");
        Assert.Equal(0, (await supervisor.Event("exited", "loud", nth: 2)).Number("code"));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task ALogDirectoryThatVanishesCostsItsLines_AndComesBackWithTheSignal()
    {
        using Gate gate = new();
        using Scratch place = new();
        string folder = Directory.CreateDirectory(place.At("logs")).FullName;
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.app]
            command = ["/bin/sh", "-c", "exec 5<> {{gate.FilePath}}; echo begun; while read line <&5; do echo $$line; done"]
            ready = { output = "begun" }
            log = { path = "{{folder}}/app.log", max_size = "1KiB", keep = 2 }
            """);
        _ = await supervisor.Event("ready", "app");
        int pid = await supervisor.Pid();
        using ControlSocket control = await ControlSocket.To(supervisor);
        string file = Path.Combine(folder, "app.log");
        await gate.Say("one");
        await Logged(control, "one");
        await Written(control, file, "one\n");

        Directory.Delete(folder, recursive: true);
        for (int i = 0; i < 50; i++)
            await gate.Say(new string('x', 99));
        await gate.Say("two");
        await Logged(control, "two");

        _ = Directory.CreateDirectory(folder);
        await Reopened(supervisor, pid);
        await gate.Say("three");
        await Logged(control, "three");
        await Written(control, file, "three\n");
        Assert.Equal("ready", (await control.Service("app")).GetProperty("state").GetString());
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task AfterTheSignalLinesGoToAFileOfTheSameName()
    {
        using Gate gate = new();
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.app]
            command = ["/bin/sh", "-c", "exec 5<> {{gate.FilePath}}; echo begun; while read line <&5; do echo $$line; done"]
            ready = { output = "begun" }
            log = { path = "app.log", timestamps = false }
            """);
        _ = await supervisor.Event("ready", "app");
        int pid = await supervisor.Pid();
        using ControlSocket control = await ControlSocket.To(supervisor);
        string file = supervisor.Scratch.At("app.log");

        // As logrotate(8) does it: lines go on into the renamed file until we are told.
        await Written(control, file, "begun\n");
        File.Move(file, file + ".1");
        await gate.Say("one");
        await Logged(control, "one");
        await Reopened(supervisor, pid);
        await gate.Say("two");
        await Written(control, file, "two\n");

        Assert.Equal("begun\none\n", File.ReadAllText(file + ".1"));
        Assert.Equal("two\n", File.ReadAllText(file));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task EachSlotHasItsOwnFile_WhichIsRotatedAndOpenedAnew()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["/bin/sh", "-c", "echo this is slot $LAUNCHD_SLOT; echo and another line; exec sleep 2147483647"]
            ready = { output = "another" }
            instances = 2
            log = { path = "${service}.${slot}", timestamps = false, max_size = "20", keep = 1 }
            """);
        for (int i = 1; i <= 2; i++)
            _ = await supervisor.Event("ready", "app", nth: i);
        using ControlSocket control = await ControlSocket.To(supervisor);
        JsonElement[] instances = [.. (await control.Service("app")).GetProperty("instances").EnumerateArray()];
        string[] files = [.. instances.Select(i => i.GetProperty("log_file").GetString()!)];

        Assert.Equal([supervisor.Scratch.At("app.0"), supervisor.Scratch.At("app.1")], files);
        await Reopened(supervisor, await supervisor.Pid(), files: 2);
        foreach (string file in files)
            await Written(control, file, "and another line\n");
        Assert.Equal(["this is slot 0\n", "this is slot 1\n"], files.Select(f => File.ReadAllText(f + ".1")));
        Assert.Equal(["and another line\n", "and another line\n"], files.Select(File.ReadAllText));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task AFullDiskCostsLinesOnly()
    {
        const string mount = "mkdir -p small && mount -t tmpfs -o size=64k none small && exec \"$0\" \"$@\"";
        await using Supervisor supervisor = Supervisor.StartTextBy(["unshare", "-m", "/bin/sh", "-c", mount], Loud + """
            [defaults]
            log = { path = "small/log", max_size = 0, keep = 0 }
            """);

        Assert.Equal(0, (await supervisor.Event("exited", "loud")).Number("code"));
        _ = await supervisor.Event("ready", "quiet");
        using ControlSocket control = await ControlSocket.To(supervisor);
        Assert.Equal("ready", (await control.Service("quiet")).GetProperty("state").GetString());
        _ = await supervisor.Errors.First(line => line.Contains("small/log", StringComparison.Ordinal)
            && line.Contains("No space left on device", StringComparison.Ordinal), "word of the full disk");
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task ProgramsThatHoldThePipeOfTheirOutput_StopNobody()
    {
        using Scratch place = new();
        // Copies a socket to standard output, as many programs do, and nothing comes: the pipe's lock is held meanwhile.
        File.WriteAllText(place.At("hold.py"), """
            import os, socket
            a, b = socket.socketpair()
            os.write(1, b"copying\n")
            os.splice(a.fileno(), 1, 4096)
            """);
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.held]
            command = ["python3", "{{place.At("hold.py")}}"]
            instances = 16
            [services.other]
            command = ["/bin/sh", "-c", "i=0; while :; do i=$(($i+1)); echo tick $i; sleep 0.05; done"]
            ready = { output = "^tick 100$" }
            ready_timeout = "1h"
            """);
        _ = await supervisor.Event("ready", "held", nth: 16);

        _ = await supervisor.Event("ready", "other");

        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>Waits until a file ends like that: the pump writes it, or has it written, after it has read the line.</summary>
    private static Task Written(ControlSocket control, string file, string end) => control.Until(
        () => File.Exists(file) && File.ReadAllText(file).EndsWith(end, StringComparison.Ordinal), () => $"without '{end.Trim()}'");

    private static async Task Reopened(Supervisor supervisor, int pid, int files = 1)
    {
        Living.Signal(pid, Living.SIGUSR1);
        _ = await supervisor.Errors.First(
            line => line.Contains($"log files are opened anew: {files}", StringComparison.Ordinal), "the answer to SIGUSR1");
    }

    /// <summary>Waits until a line came through the pump.</summary>
    private static async Task Logged(ControlSocket control, string text)
    {
        string[] lines = [];
        while (!lines.Contains(text))
        {
            lines = [.. (await control.Call("Logs", """{"lines":5}""")).GetProperty("lines").EnumerateArray()
                .Select(l => l.GetProperty("text").GetString() ?? "")];
        }
    }
}
