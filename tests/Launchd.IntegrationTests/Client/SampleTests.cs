using System.Net;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Client;

/// <summary>Every sample is run as it stands, but for port and runtime directory.</summary>
public sealed class SampleTests
{
    private static readonly Dictionary<string, string> Programs = new()
    {
        ["WEB_DLL"] = Repository.Built("Web", "Web.dll"),
        ["RING_DLL"] = Repository.Built("Ring", "Ring.dll"),
        ["MESSAGES"] = "1000000",
        ["SAMPLES"] = Path.Combine(Repository.Root, "samples"),
        ["PYTHON"] = Repository.Tool("python3") ?? "",
    };

    [Fact]
    public async Task ThreeProcessesPassAMillionMessagesThroughOneMemory()
    {
        await using Supervisor supervisor = Supervisor.StartText(Text("ring/ring.toml"), Programs);

        _ = await supervisor.Output.First(l => l.Contains("sink: 1000000 messages in order", StringComparison.Ordinal), "result of sink");
        _ = await supervisor.Event("exited", "relay");
        Assert.Contains("relay: the ring came by the way 'taken'", supervisor.Output.ToString(), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task TheWebApplicationIsReadyByItself_AndARequestUnderWayIsFinishedWhenItIsRestarted()
    {
        int port = LoopbackPort.Free();
        IPEndPoint address = new(IPAddress.Loopback, port);
        await using Supervisor supervisor = Supervisor.StartText(
            Text("web/web.toml").Replace("127.0.0.1:7090", $"127.0.0.1:{port}", StringComparison.Ordinal), Programs);
        Happening first = await supervisor.Event("ready", "web");
        Assert.Contains($"hello from process {first.Pid}, web generation 1", await Supervisor.Get(address, "/"), StringComparison.Ordinal);
        using var http = new HttpClient();
        using HttpResponseMessage slow = await http.GetAsync(new Uri($"http://{address}/slow"), HttpCompletionOption.ResponseHeadersRead);

        (int code, _, string errors) = await supervisor.Verb("restart", "web");

        Assert.True(code == 0, errors);
        Assert.Equal("begun\nfinished\n", await slow.Content.ReadAsStringAsync().WaitAsync(Deadline.Generous));
        Happening second = await supervisor.Event("ready", "web", nth: 2);
        Assert.NotEqual(first.Pid, second.Pid);
        Assert.Contains($"hello from process {second.Pid}", await Supervisor.Get(address, "/"), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [NeedsToolFact("python3", "gcc")]
    public async Task PythonPublishes_AndCAsks()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.cache]
            command = ["${PYTHON}", "-u", "-c", '''
            import os, sys
            sys.path.insert(0, os.environ["SAMPLES"] + "/python")
            import launchd
            channel = launchd.Channel.open()
            channel.publish("ring", fd := os.memfd_create("ring"))
            os.write(fd, b"written by python\n")
            channel.store("kept", [fd], replace=True)
            print("inherited", launchd.listen_fds(), "as", channel.call("Describe")[0]["service"])
            try:
                channel.request("nobody", "x")
            except launchd.Refused as refused:
                print("refused", refused.error)
            launchd.notify("READY=1")
            print("barrier", launchd.barrier())
            for event, fds in channel.watch():
                print("event", event["event"])
            ''']
            pass_environment = ["PATH", "SAMPLES"]
            ready = "notify"
            fd_store = 2
            share = { ring = ["ask"] }

            [services.ask]
            command = ["./launchd-c", "cache", "ring"]
            requires = ["cache"]
            after = ["cache"]
            request = ["cache/ring"]
            restart = "never"
            start = "manual"
            """, Programs);
        await using (Command compiler = Command.Start(
            ["gcc", "-Wall", "-Wextra", "-Werror", "-DLAUNCHD_MAIN", "-o",
                supervisor.Scratch.At("launchd-c"), Programs["SAMPLES"] + "/c/launchd.c"]))
        {
            Assert.True(await compiler.Exit() == 0, compiler.Errors.ToString());
        }
        _ = await supervisor.Event("ready", "cache");

        _ = await supervisor.Verb("start", "ask");

        foreach (string line in (string[])["inherited [] as cache", "refused NoSuchService", "barrier True", "written by python"])
            _ = await supervisor.Output.First(l => l.EndsWith(line, StringComparison.Ordinal), line);
        Happening exited = await supervisor.Event("exited", "ask");
        Assert.Contains("0", exited.ToString(), StringComparison.Ordinal);
        (int code, _, string errors) = await supervisor.Verb("restart", "cache");
        Assert.True(code == 0, errors);
        _ = await supervisor.Output.First(l => l.EndsWith("inherited [(3, 'kept')] as cache", StringComparison.Ordinal), "second run");
        Assert.Equal(0, await supervisor.Stop());
    }

    private static string Text(string name) => File.ReadAllText(Path.Combine(Repository.Root, "samples", name));
}
