using System.Net;
using System.Net.Sockets;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// <c>activate</c> as a developer uses it, with its temporary directory in the scratch folder, where nothing may be left.
/// </summary>
public sealed class ActivateTests : IDisposable
{
    private const int SIGINT = 2;
    private readonly Scratch _scratch = new();

    public ActivateTests() => Directory.CreateDirectory(_scratch.At("tmp"));

    private static string[] Echo => [Repository.DotnetPath, Repository.Built("Probe", "probe.dll"), "--greet", "{pid} ", "--echo"];

    public void Dispose() => _scratch.Dispose();

    [Theory]
    [InlineData("exit 7", 7)]
    [InlineData("exit 0", 0)]
    [InlineData("kill -KILL $$", 137)]
    public async Task ItEndsAsTheProgramEnds(string script, int code)
    {
        await using Command run = Activate(["--now", "-l", "0"], "sh", "-c", script);
        Assert.Equal(code, await Ended(run));
    }

    [Theory]
    [InlineData("/nowhere/program", 127)]
    [InlineData("/etc/passwd", 126)]
    public async Task AProgramThatCannotBeExecutedIsSaidAsShellsSayIt(string program, int code)
    {
        await using Command run = Activate(["--now", "-l", "0"], program);
        Assert.Equal(code, await Ended(run));
        Assert.Contains(program, run.Errors.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task TheFirstConnectionStartsIt_CtrlCEndsIt()
    {
        await using Command run = Activate(["-l", "127.0.0.1:0"], Echo);
        IPEndPoint address = await Address(run);
        Assert.DoesNotContain("started", run.Errors.ToString(), StringComparison.Ordinal);

        string answer = await Supervisor.Ask(address, "hello");

        string started = await run.Errors.First(l => l.TrimStart().StartsWith("started", StringComparison.Ordinal), "start");
        Assert.Contains($"(pid {answer.Split(' ')[0]}, for tcp://{address})", started, StringComparison.Ordinal);
        Assert.True(run.Signal(SIGINT));
        Assert.Equal(0, await Ended(run));
    }

    [Fact]
    public async Task ItPassesSocketsAndFilesByNameAndNumber_TheEnvironmentAndTheDirectory()
    {
        _scratch.Write("data.txt", "content");
        await using Command run = Activate(
            ["--now", "-l", "0", "-l", _scratch.At("app.sock"), "--fdname", "http:admin", "--file", "data=data.txt", "-E", "COLOUR=$blue"],
            "sh", "-c", "echo $LISTEN_FDS $LISTEN_FDNAMES $COLOUR $FOREIGN $(pwd); cat <&5; test $LISTEN_PID = $$");
        Assert.Equal(0, await Ended(run));
        Assert.Equal([$"3 http:admin:data $blue inherited {_scratch.FolderPath}", "content"], run.Output.All());
    }

    [Fact]
    public async Task AcceptWithInetdServesEachConnectionByAProgramOfItsOwn()
    {
        await using Command run = Activate(["-l", "0", "--accept", "--inetd"], "sh", "-c", "echo $$; exec cat");
        IPEndPoint address = await Address(run);
        string[] answers = await Task.WhenAll(Enumerable.Range(0, 5).Select(n => Supervisor.Ask(address, $"said {n}")));
        Assert.All(answers.Index(), a => Assert.EndsWith($"\nsaid {a.Index}", a.Item, StringComparison.Ordinal));
        Assert.Equal(5, answers.Select(a => a.Split('\n')[0]).Distinct().Count());
        Assert.True(run.Signal(SIGINT));
        Assert.Equal(0, await Ended(run));
    }

    [Fact]
    public async Task AcceptWithoutInetdPassesTheConnectionAsDescriptor3()
    {
        await using Command run = Activate(["-l", "0", "-a"], "sh", "-c", "echo $LISTEN_FDS $LISTEN_FDNAMES $REMOTE_ADDR >&3");
        IPEndPoint address = await Address(run);
        Assert.Equal("1 connection 127.0.0.1\n", await Supervisor.Ask(address, ""));
        Assert.True(run.Signal(SIGINT));
        Assert.Equal(0, await Ended(run));
    }

    [Fact]
    public async Task ADatagramStartsIt()
    {
        await using Command run = Activate(["-d", "-l", "127.0.0.1:0"], Echo);
        IPEndPoint address = await Address(run);
        using UdpClient client = new();
        client.Connect(address);
        await client.SendAsync("hello"u8.ToArray());
        UdpReceiveResult answer = await Deadline.Await(client.ReceiveAsync(), "answer", run.Errors.ToString);
        Assert.Equal("hello", Encoding.UTF8.GetString(answer.Buffer));
        Assert.True(run.Signal(SIGINT));
        Assert.Equal(0, await Ended(run));
    }

    [Fact]
    public async Task AChangedFileStartsItAnew_WithTheSameSocket()
    {
        Directory.CreateDirectory(_scratch.At("src"));
        await using Command run = Activate(["-l", "0", "--watch", "src"], Echo);
        IPEndPoint address = await Address(run);
        string first = await Supervisor.Ask(address, "x");

        _scratch.Write("src/.app.swp", "an editor's");
        _scratch.Write("src/app.cs", "1");
        Assert.Contains("src/app.cs", await Line(run, "changed"), StringComparison.Ordinal);
        _ = await Line(run, "started", nth: 2);
        string second = await Supervisor.Ask(address, "x");

        Assert.NotEqual(first, second);
        Assert.DoesNotContain(".swp", run.Errors.ToString(), StringComparison.Ordinal);
        Assert.True(run.Signal(SIGINT));
        Assert.Equal(0, await Ended(run));
    }

    [Fact]
    public async Task AProgramThatFailsIsStartedAgainByAChange_AndClientsWait()
    {
        _scratch.Write("app.sh", "exit 3");
        await using Command run = Activate(["-l", "0", "--watch", "app.sh"], "sh", "app.sh");
        IPEndPoint address = await Address(run);
        Task<string> answer = Supervisor.Ask(address, "still here");
        Assert.Contains("exited with 3", await Line(run, "ended"), StringComparison.Ordinal);

        _scratch.Write("app.sh", "exec " + string.Join(' ', Echo.Select(w => $"'{w}'")) + "\n");

        Assert.EndsWith(" still here", await answer, StringComparison.Ordinal);
        // Not in a loop while the client waited.
        Assert.Equal(2, run.Errors.All().Count(l => l.TrimStart().StartsWith("started", StringComparison.Ordinal)));
        Assert.True(run.Signal(SIGINT));
        Assert.Equal(0, await Ended(run));
    }

    [Theory]
    [InlineData("an address is missing", "--now")]
    [InlineData("give one of them", "-l", "0", "--accept", "--now")]
    [InlineData("--accept needs connections", "-l", "0", "--accept", "--datagram")]
    [InlineData("--accept needs connections, which udp://127.0.0.1:0 does not have", "-l", "udp://127.0.0.1:0", "--accept")]
    [InlineData("--inetd passes one socket", "-l", "0", "-l", "0", "--inetd")]
    [InlineData("--fdname names 3 sockets, but there are 2", "-l", "0", "-l", "0", "--fdname", "a:b:c")]
    [InlineData("there is nothing to watch files for", "-l", "0", "--accept", "--watch", ".")]
    [InlineData("there is no option '--nwo', did you mean '--now'?", "-l", "0", "--nwo")]
    [InlineData("port 70000 is out of range", "-l", "70000")]
    public async Task WhatMakesNoSenseIsRefusedBeforeAnythingIsOpened(string sentence, params string[] options)
    {
        await using Command run = Activate(options, "true");
        Assert.Equal(64, await Ended(run));
        Assert.Contains(sentence, run.Errors.ToString(), StringComparison.Ordinal);
        Assert.Single(run.Errors.All());
    }

    [Fact]
    public async Task APortInUseIsOneSentence()
    {
        using TcpListener held = new(IPAddress.Loopback, 0);
        held.Start();
        await using Command run = Activate(["-l", $"{held.LocalEndpoint}"], "true");
        Assert.Equal(71, await Ended(run));
        string expected = $"launchd-cs: cannot listen on tcp://{held.LocalEndpoint}: Address already in use";
        Assert.StartsWith(expected, Assert.Single(run.Errors.All()), StringComparison.Ordinal);
    }

    private Command Activate(string[] options, params string[] program) => Command.Launchd(
        ["activate", .. options, "--", .. program], _scratch.FolderPath,
        new Dictionary<string, string> { ["TMPDIR"] = _scratch.At("tmp"), ["FOREIGN"] = "inherited" });

    private static Task<string> Line(Command run, string label, int nth = 1) =>
        run.Errors.First(l => l.TrimStart().StartsWith(label + " ", StringComparison.Ordinal), label, nth);

    private static async Task<IPEndPoint> Address(Command run)
    {
        string text = (await Line(run, "listening")).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1];
        _ = await Line(run, "waiting");
        return IPEndPoint.Parse(text[(text.LastIndexOf('/') + 1)..]);
    }

    private async Task<int> Ended(Command run)
    {
        int code = await run.Exit();
        Assert.Equal([], _scratch.Processes());
        // Others of a program's own runtime may stay.
        Assert.Empty(Directory.GetFileSystemEntries(_scratch.At("tmp"), "launchd-cs*"));
        return code;
    }
}
