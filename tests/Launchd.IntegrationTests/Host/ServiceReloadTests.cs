using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary><c>reload-service</c> waits for what programs say of their reload, and for reload commands.</summary>
public sealed class ServiceReloadTests
{
    [Fact]
    public async Task WhatItPrintsIsWhatBecameOfIt()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.speaking]
            command = ["${DOTNET}", "${PROBE}", "--ready", "--confirm-reload"]
            ready = "notify"
            reload = { signal = "SIGHUP" }
            [services.silent]
            command = ["/bin/sh", "-c", "trap '' HUP; echo deaf; exec sleep 2147483647"]
            ready = { output = "deaf" }
            reload = { signal = "SIGHUP" }
            [services.command]
            command = ["sleep", "2147483647"]
            reload = { command = ["/bin/sh", "-c", "echo $$MAINPID > reloaded"] }
            [services.broken]
            command = ["sleep", "2147483647"]
            reload = { command = ["/bin/sh", "-c", "exit 3"] }
            [services.missing]
            command = ["sleep", "2147483647"]
            reload = { command = ["no-such-program"] }
            [services.none]
            command = ["sleep", "2147483647"]
            """);
        foreach (string service in (string[])["speaking", "silent", "broken", "missing", "none"])
            _ = await supervisor.Event("ready", service);
        Happening ready = await supervisor.Event("ready", "command");

        (int code, string output, string errors) = await supervisor.Verb("reload-service", "speaking", "silent", "command");
        Assert.Equal((0, ""), (code, errors));
        Assert.Matches("^command: reloaded in .* m?s\nsilent: told to reload\nspeaking: reloaded in .* m?s$", output);
        Assert.Equal($"{ready.Pid}\n", File.ReadAllText(supervisor.Scratch.At("reloaded")));
        // Of the start, and of the reload that was waited for.
        _ = await supervisor.Events.First(e => e.Kind == "notified" && e.Texts("lines").Contains("READY=1"), "READY=1", nth: 2);

        (code, output, _) = await supervisor.Verb("reload-service", "--all");
        Assert.Equal(1, code);
        string[] lines = output.Split('\n');
        Assert.Contains("broken: failed: its reload command exited with 3", lines);
        Assert.Contains(lines, l => l.StartsWith(
            "missing: failed: its reload command cannot be run: exec \"no-such-program\": No such file or directory (it is in no directory",
            StringComparison.Ordinal));
        Assert.Contains("none: failed: it has no 'reload' in the configuration", lines);
        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>With a back-off of a minute a start that came after one would not be seen.</summary>
    [Fact]
    public async Task AProgramThatDiesOfIt_IsStartedAgainAtOnce()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.dying]
            command = ["sleep", "2147483647"]
            restart = "on-failure"
            backoff = { initial = "60s", max = "60s" }
            reload = { signal = "SIGHUP" }
            [services.ending]
            command = ["/bin/sh", "-c", "trap 'exit 0' HUP; echo begun; while :; do sleep 0.1; done"]
            ready = { output = "begun" }
            restart = "on-failure"
            backoff = { initial = "60s", max = "60s" }
            reload = { signal = "SIGHUP" }
            """);
        _ = await supervisor.Event("ready", "dying");
        _ = await supervisor.Event("ready", "ending");

        (int code, string output, _) = await supervisor.Verb("reload-service", "dying", "ending");

        Assert.Equal(1, code);
        Assert.Contains("dying: failed: reload failed: it ended on SIGHUP (killed by SIGHUP)", output, StringComparison.Ordinal);
        Assert.Contains("ending: failed: reload failed: it ended on SIGHUP (exited with 0)", output, StringComparison.Ordinal);
        foreach (string service in (string[])["dying", "ending"])
        {
            Assert.Equal("reload failed: it ended on SIGHUP", (await supervisor.Event("exited", service)).Text("reason"));
            Assert.Equal(0, (await supervisor.Event("restarting", service)).Number("delay_ms"));
            _ = await supervisor.Event("ready", service, nth: 2);
        }
        Assert.Equal(0, await supervisor.Stop());
    }
}
