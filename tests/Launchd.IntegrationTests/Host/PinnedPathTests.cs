using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Paths that a service sees as mount points.</summary>
public sealed class PinnedPathTests
{
    [TheoryWhenMountsAndTool("python3")]
    [InlineData("unix", "clone")]
    [InlineData("unix", "exec")]
    [InlineData("fifo", "clone")]
    public async Task ItsProgramCanNeitherRemoveNorRenameIt_AndOthersCan(string kind, string carrier)
    {
        await using Supervisor supervisor = Supervisor.StartText(
            Text(kind), new Dictionary<string, string> { ["LAUNCHD_SPAWN"] = carrier });
        _ = await supervisor.Event("ready", "web");

        Assert.Equal("EBUSY EBUSY", File.ReadAllText(supervisor.Scratch.At("seen")));
        Assert.DoesNotContain(supervisor.Scratch.FolderPath, File.ReadAllText("/proc/self/mountinfo"), StringComparison.Ordinal);
        File.Delete(supervisor.Scratch.At("web.sock"));
        Assert.Equal("its path was removed", (await supervisor.Event("listener-healed")).Text("fault"));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenMountsAndTool("setpriv")]
    public async Task WhereItCannotBeTheStartFails_AndSaysWhatIsNeeded()
    {
        await using Supervisor supervisor = Supervisor.StartTextBy(["setpriv", "--bounding-set=-sys_admin", "--"], Text("unix"));

        string reason = (await supervisor.Event("failed", "web")).Text("reason")!;

        Assert.Contains("web.sock cannot be made a mount point: Operation not permitted (pin_path needs CAP_SYS_ADMIN)", reason);
        Assert.Equal(0, await supervisor.Stop());
    }

    private static string Text(string kind) => $$"""
        [sockets.web]
        listen = "{{kind}}:web.sock"
        pin_path = true

        [services.web]
        command = ["python3", "-u", "-c", '''
        import errno, os, signal
        def refused(call):
            try: call()
            except OSError as e: return errno.errorcode[e.errno]
            return "done"
        open("seen", "w").write(refused(lambda: os.unlink("web.sock")) + " " + refused(lambda: os.rename("web.sock", "other")))
        print("begun")
        signal.pause()
        ''']
        sockets = ["web"]
        restart = "never"
        ready = { output = "begun" }
        """;
}
