using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Programs that do something once and end, and those whose last words come right before their end.</summary>
public sealed class JobLifeTests
{
    /// <summary>
    /// The program writes more than is read at once, then the line, and is gone: the end is known long before the line is read. So many at
    /// a time that not one of them may be judged before its output.
    /// </summary>
    [Fact]
    public async Task WhatAProgramWroteBeforeItEnded_IsReadBeforeItsEndIsJudged()
    {
        const int count = 24;
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.app]
            command = ["/bin/sh", "-c", "i=0; while [ $i -lt 300 ]; do echo one of many lines; i=$((i+1)); done; echo begun"]
            ready = { output = "^begun$" }
            restart = "never"
            instances = {{count}}
            """.Replace("$i", "$$i", StringComparison.Ordinal).Replace("$((", "$$((", StringComparison.Ordinal));
        _ = await supervisor.Event("exited", "app", count);
        using ControlSocket control = await ControlSocket.To(supervisor);
        Assert.Equal(
            Enumerable.Repeat("stopped", count),
            (await control.Service("app")).GetProperty("instances").EnumerateArray().Select(i => i.GetProperty("state").GetString()));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task ACompletedJobIsNotRunAgain_WhenTheSupervisorDies()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.migrate]
            command = ["/bin/sh", "-c", "echo ran >> runs"]
            ready = "exited"
            [services.app]
            command = ["sleep", "2147483647"]
            requires = ["migrate"]
            """);
        int app = (await supervisor.Event("ready", "app")).Pid;

        Living.Kill(await supervisor.Pid());
        _ = await supervisor.Errors.First(
            l => l.Contains("goes on where the supervisor before it ended", StringComparison.Ordinal), "the next supervisor");

        using (ControlSocket control = await ControlSocket.To(supervisor.Scratch))
        {
            Assert.Equal("completed", (await control.Service("migrate")).GetProperty("state").GetString());
            Assert.Equal(app, (await control.Service("app")).GetProperty("instances")[0].GetProperty("pid").GetInt32());
        }
        Assert.Equal(0, (await supervisor.Verb("restart", "app")).Code);
        Assert.Equal(["ran"], File.ReadAllLines(supervisor.Scratch.At("runs")));
        Assert.Equal(0, (await supervisor.Verb("start", "migrate")).Code);
        Assert.Equal(["ran", "ran"], File.ReadAllLines(supervisor.Scratch.At("runs")));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task AJobIsCompleted_RunsAgainWhenItIsStarted_AndItsFailureIsTheCallers()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.migrate]
            command = ["/bin/sh", "-c", "test ! -e broken || exit 3"]
            ready = "exited"
            [services.app]
            command = ["sleep", "2147483647"]
            requires = ["migrate"]
            """);
        _ = await supervisor.Event("completed", "migrate");
        _ = await supervisor.Event("ready", "app");
        Assert.Equal(0, (await supervisor.Verb("status")).Code);
        Assert.Contains("completed", (await supervisor.Verb("status")).Output, StringComparison.Ordinal);
        (int code, string output, _) = await supervisor.Verb("start", "migrate");
        Assert.Equal(0, code);
        Assert.StartsWith("migrate: completed in ", output, StringComparison.Ordinal);

        _ = supervisor.Scratch.Write("broken", "");
        (code, output, string errors) = await supervisor.Verb("start", "migrate");
        Assert.Equal(1, code);
        Assert.Contains("migrate: failed: exited with 3", output + errors, StringComparison.Ordinal);
        (code, output, errors) = await supervisor.Verb("restart", "app");
        Assert.Equal(1, code);
        Assert.Contains("requires migrate, which failed: exited with 3", output + errors, StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }
}
