using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>What follows the end of an instance: policy, pauses, limits, and an operator's word over all of them.</summary>
[Collection(nameof(Supervisors))]
public sealed class RestartTests
{
    [Theory]
    [InlineData("always", "exit 0", "", "restarting")]
    [InlineData("always", "exit 3", "", "restarting")]
    [InlineData("always", "kill -KILL $$$$", "", "restarting")]
    [InlineData("on-failure", "exit 3", "", "restarting")]
    [InlineData("on-failure", "kill -SEGV $$$$", "", "restarting")]
    [InlineData("on-failure", "exit 0", "", "stopped")]
    [InlineData("on-failure", "kill -TERM $$$$", "", "stopped")]
    [InlineData("on-failure", "exit 3", "success_exit = [0, 3]", "stopped")]
    [InlineData("on-failure", "kill -KILL $$$$", "success_exit = [\"SIGKILL\"]", "stopped")]
    [InlineData("never", "exit 0", "", "stopped")]
    [InlineData("never", "exit 3", "", "failed")]
    [InlineData("never", "kill -KILL $$$$", "", "failed")]
    public async Task ThePolicyDecidesWhatFollowsAnEnd(string policy, string script, string keys, string then)
    {
        await using Supervisor supervisor = Supervisor.StartText($$"""
            [services.app]
            command = ["/bin/sh", "-c", "{{script}}"]
            restart = "{{policy}}"
            backoff = { initial = "1h", max = "1h", jitter = 0 }
            {{keys}}
            """);
        _ = await supervisor.Event("exited", "app");
        using ControlSocket control = await ControlSocket.To(supervisor);

        Assert.Equal(then == "restarting" ? "backing-off" : then, (await control.Service("app")).GetProperty("state").GetString());
        if (then != "stopped")
            _ = await supervisor.Event(then, "app");
        Assert.Single(supervisor.Events.All(), e => e.Kind == "spawned");
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task PausesGrowToTheirLimit_AndTheStartLimitEndsThem()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["false"]
            backoff = { initial = "10ms", factor = 2, max = "40ms", jitter = 0 }
            start_limit = { burst = 6, interval = "1h" }
            """);

        Happening failed = await supervisor.Event("failed", "app");

        Assert.Equal([10, 20, 40, 40, 40], supervisor.Events.All().Where(e => e.Kind == "restarting").Select(e => e.Number("delay_ms")));
        Assert.Contains("started 6 times within 1h, not tried again; last: exited with 1", failed.Text("reason"), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task NoPauseIsShorterThanItSays()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["false"]
            backoff = { initial = "200ms", max = "200ms", jitter = 0 }
            start_limit = { burst = 3, interval = "1h" }
            """);
        _ = await supervisor.Event("failed", "app");
        DateTime[] spawned = [.. supervisor.Events.All().Where(e => e.Kind == "spawned").Select(e => DateTime.Parse(e.Text("time")!))];
        DateTime[] restarting =
            [.. supervisor.Events.All().Where(e => e.Kind == "restarting").Select(e => DateTime.Parse(e.Text("time")!))];

        Assert.Equal(3, spawned.Length);
        Assert.All(restarting.Zip(spawned.Skip(1)), pair => Assert.True(pair.Second - pair.First >= TimeSpan.FromMilliseconds(200)));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task AnOperatorsStartEndsAPause_AndForgivesTheLimit()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["/bin/sh", "-c", "[ -e mended ] && exec sleep 2147483647; exit 1"]
            backoff = { initial = "1ms", jitter = 0 }
            start_limit = { burst = 2, interval = "1h" }
            [services.late]
            command = ["/bin/sh", "-c", "[ -e mended ] && exec sleep 2147483647; exit 1"]
            backoff = { initial = "1h", max = "1h", jitter = 0 }
            """);
        _ = await supervisor.Event("failed", "app");
        _ = await supervisor.Event("restarting", "late");
        _ = supervisor.Scratch.Write("mended", "");
        using ControlSocket control = await ControlSocket.To(supervisor);

        System.Text.Json.JsonElement verdict = await control.Call("Start", """{"services":["app","late"]}""");

        Assert.All(verdict.GetProperty("results").EnumerateArray(), r => Assert.True(r.GetProperty("ok").GetBoolean(), r.ToString()));
        Assert.Equal("ready", (await control.Service("app")).GetProperty("state").GetString());
        Assert.Equal("ready", (await control.Service("late")).GetProperty("state").GetString());
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task LimitsOfTheFileAreTheProcesss()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["cat", "/proc/self/limits"]
            output = "file:out"
            restart = "never"
            limits = { nofile = 300, nproc = "1000:2000", core = 0, stack = "4MiB", fsize = "1GiB" }
            """);
        _ = await supervisor.Event("exited", "app");
        string[] lines = File.ReadAllLines(supervisor.Scratch.At("out"));

        string[] Of(string title) => lines.Single(l => l.StartsWith(title, StringComparison.Ordinal))[title.Length..]
            .Split(' ', StringSplitOptions.RemoveEmptyEntries)[..2];

        Assert.Equal(["300", "300"], Of("Max open files"));
        Assert.Equal(["1000", "2000"], Of("Max processes"));
        Assert.Equal(["0", "0"], Of("Max core file size"));
        Assert.Equal(["4194304", "4194304"], Of("Max stack size"));
        Assert.Equal(["1073741824", "1073741824"], Of("Max file size"));
        Assert.Equal(0, await supervisor.Stop());
    }
}
