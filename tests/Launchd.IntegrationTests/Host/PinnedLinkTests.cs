using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Whoever may write the directory of a pinned path must not choose what root mounts there.</summary>
public sealed class PinnedLinkTests
{
    [TheoryWhenMountsAndTool("python3")]
    [InlineData("clone")]
    [InlineData("exec")]
    public async Task ALinkInThePlaceOfThePathIsNotFollowed_AndTheStartFails(string carrier)
    {
        await using Supervisor supervisor = Supervisor.StartText(
            Text, new Dictionary<string, string> { ["LAUNCHD_SPAWN"] = carrier });
        _ = await supervisor.Event("listener-opened");
        string path = supervisor.Scratch.At("web.sock");
        File.WriteAllText(supervisor.Scratch.At("victim"), "of root");
        _ = File.CreateSymbolicLink(supervisor.Scratch.At("link"), supervisor.Scratch.At("victim"));
        File.Move(supervisor.Scratch.At("link"), path, overwrite: true);
        _ = await supervisor.Event("listener-path-taken");

        _ = await supervisor.Verb("start", "web");

        string reason = (await supervisor.Event("failed", "web")).Text("reason")!;
        Assert.Contains("web.sock cannot be made a mount point: something else lies there than the supervisor has made", reason);
        Assert.False(File.Exists(supervisor.Scratch.At("seen")));

        File.Delete(path);
        _ = await supervisor.Event("listener-healed");
        _ = await supervisor.Verb("start", "web");
        _ = await supervisor.Event("ready", "web");
        Assert.Equal([path], File.ReadAllLines(supervisor.Scratch.At("seen")));
        Assert.Equal(0, await supervisor.Stop());
    }

    private const string Text = """
        [sockets.web]
        listen = "unix:web.sock"
        pin_path = true

        [services.web]
        command = ["python3", "-u", "-c", '''
        import os, signal
        places = [line.split()[4] for line in open("/proc/self/mountinfo")]
        open("seen", "w").writelines(p + "\n" for p in places if p.startswith(os.getcwd() + "/"))
        print("begun")
        signal.pause()
        ''']
        sockets = ["web"]
        start = "manual"
        restart = "never"
        ready = { output = "begun" }
        """;
}
