using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Host;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Client;

/// <summary>
/// samples/chat as it stands, with guests who stay through everything: no disconnect, no line lost, doubled or out of order. Where a test
/// has to decide the moment of a death it plays the successor itself, on the channel of a program that sleeps.
/// </summary>
public sealed class ChatTests
{
    private const string DotnetServer = "dotnet";
    private const string PythonServer = "python3";

    private static readonly Dictionary<string, string> Programs = new()
    {
        ["CHAT_DLL"] = Repository.Built("Chat", "Chat.dll"),
        ["CHAT_PY"] = Path.Combine(Repository.Root, "samples", "chat", "chat.py"),
        ["PYTHON"] = Repository.Tool("python3") ?? "",
    };

    [TheoryWhenTool(PythonServer)]
    [InlineData(DotnetServer)]
    [InlineData(PythonServer)]
    public async Task NobodyNoticesARestart(string server)
    {
        await using Supervisor supervisor = Start(server);
        await using Crowd crowd = await Crowd.Gather(await Address(supervisor), 30);
        crowd.Talk(4);
        for (int restart = 0; restart < 3; restart++)
        {
            await crowd.BeginLines();
            await crowd.TellTheDeaf();
            await crowd.HearMore();

            (int code, string output, string errors) = await supervisor.Verb("restart", "chat");

            Assert.True(code == 0, output + errors);
            crowd.LetTheDeafHear();
            await crowd.EndLines();
            await crowd.HearMore();
        }

        await crowd.Part();
        Assert.Equal(4, Spawned(supervisor));
        Assert.Equal(0, await supervisor.Stop());
    }

    [TheoryWhenTool(PythonServer)]
    [InlineData(DotnetServer)]
    [InlineData(PythonServer)]
    public async Task ASuccessorThatDiesWhileProving_CostsNothing(string server)
    {
        await using Supervisor supervisor = Start(server, prove: "1h");
        Happening old = await supervisor.Event("ready", "chat");
        await using Crowd crowd = await Crowd.Gather(await Address(supervisor), 30);
        crowd.Talk(4);
        Task<(int Code, string Output, string Errors)> restart = supervisor.Verb("restart", "chat");
        Happening next = await supervisor.Event("ready", "chat", nth: 2);
        await crowd.HearMore();

        Living.Kill(next.Pid);

        (int code, string output, _) = await restart;
        Assert.Equal(1, code);
        Assert.Contains("killed by SIGKILL", output, StringComparison.Ordinal);
        await crowd.HearMore();
        await crowd.Part();
        Assert.True(Living.IsAlive(old.Pid));
        Assert.Equal(0, await supervisor.Stop());
    }

    [TheoryWhenRootAndTool(PythonServer)]
    [InlineData(DotnetServer)]
    [InlineData(PythonServer)]
    public async Task ASuccessorThatHasTakenThePlaceAndDies_IsFollowedByOneThatTakesOver(string server)
    {
        await using Supervisor supervisor = StartWithSleepingSuccessor(server);
        Happening old = await supervisor.Event("ready", "chat");
        await using Crowd crowd = await Crowd.Gather(await Address(supervisor), 30);
        crowd.Talk(4);
        await crowd.BeginLines();
        using (Played deaf = await Played.Of(supervisor))
        {
            // It never asks for anything.
            Assert.Equal("""{"parameters":{}}""", deaf.Channel.Call("Ready"));
            Assert.Equal(old.Pid, (await supervisor.Event("draining", "chat")).Pid);
            await crowd.HearMore();

            Living.Kill(deaf.Pid);
        }

        Happening next = await supervisor.Event("ready", "chat", nth: 3);
        _ = await supervisor.Events.First(e => e.Kind == "exited" && e.Pid == old.Pid, "the end of the old one");
        await crowd.EndLines();
        await crowd.HearMore();
        await crowd.Part();
        Assert.True(Living.IsAlive(next.Pid));
        Assert.Equal(0, await supervisor.Stop());
    }

    [TheoryWhenRootAndTool(PythonServer)]
    [InlineData(DotnetServer)]
    [InlineData(PythonServer)]
    public async Task ASuccessorThatDiesInTheMiddleOfTheHandOver_LeavesTheOldOneInPossession(string server)
    {
        await using Supervisor supervisor = StartWithSleepingSuccessor(server);
        await using Crowd crowd = await Crowd.Gather(await Address(supervisor), 30);
        crowd.Talk(4);
        using (Played successor = await Played.Of(supervisor))
        {
            using Socket link = await successor.TakesThePlace();
            _ = await Played.State(link);
            // The room stands still now, and this one has everything but its own word.
            foreach (FileDescriptor connection in await Played.Connections(link))
                connection.Dispose();
            Living.Kill(successor.Pid);
        }

        await crowd.HearMore();
        _ = await supervisor.Event("ready", "chat", nth: 3);
        _ = await supervisor.Events.First(e => e.Kind == "exited" && e.Service == "chat", "the end of the old one", nth: 2);
        await crowd.HearMore();
        await crowd.Part();
        Assert.Equal(0, await supervisor.Stop());
    }

    [TheoryWhenRootAndTool(PythonServer)]
    [InlineData(DotnetServer)]
    [InlineData(PythonServer)]
    public async Task AnOldOneThatIsKilledInTheMiddle_HasHandedOverWhatCame_WithAllThatBelongsToIt(string server)
    {
        await using Supervisor supervisor = StartWithSleepingSuccessor(server);
        Happening old = await supervisor.Event("ready", "chat");
        await using Crowd crowd = await Crowd.Gather(await Address(supervisor), 30);
        await crowd.BeginLines();
        await crowd.TellTheDeaf();
        await crowd[0].Hear(60);
        using Played successor = await Played.Of(supervisor);
        using Socket link = await successor.TakesThePlace();
        JsonElement state = await Played.State(link);
        FileDescriptor[] connections = await Played.Connections(link);

        Living.Kill(old.Pid);

        Assert.Equal($$"""{"parameters":{"event":"PredecessorEnded","predecessor":1},"continues":true}""", successor.Channel.ReadText());
        Assert.Equal(60, state.GetProperty("number").GetInt32());
        JsonElement[] clients = [.. state.GetProperty("clients").EnumerateArray()];
        Assert.Equal(Enumerable.Range(0, 30).Select(i => $"guest{i}"), clients.Select(c => c.GetProperty("nick").GetString()));
        Assert.Equal("begun here, ", Encoding.UTF8.GetString(clients[15].GetProperty("input").GetBytesFromBase64()));
        Assert.True(clients[20].GetProperty("output").GetBytesFromBase64().Length > 0, "nothing was left unwritten");
        for (int i = 0; i < connections.Length; i++)
        {
            using Socket connection = new(new SafeSocketHandle(connections[i].ReleaseNumber(), ownsHandle: true)) { Blocking = false };
            if (i != 20)
                connection.Send(Encoding.UTF8.GetBytes($"still here, {i}\n"));
        }
        Assert.Equal("still here, 7", (await crowd[7].HearEnd("still here, 7"))[^1]);
        Living.Kill(successor.Pid);
    }

    [FactWhenTool(PythonServer)]
    public async Task OneLanguageTakesOverFromTheOther_AndBack()
    {
        await using Supervisor supervisor = Start(DotnetServer);
        await using Crowd crowd = await Crowd.Gather(await Address(supervisor), 30);
        crowd.Talk(4);
        string file = supervisor.Scratch.At("config.toml"), dotnet = File.ReadAllText(file);
        string python = dotnet.Replace(CommandOf(DotnetServer), CommandOf(PythonServer), StringComparison.Ordinal);
        foreach (string text in (string[])[python, dotnet])
        {
            await crowd.BeginLines();
            File.WriteAllText(file, text);

            (int code, string output, string errors) = await supervisor.Verb("reload");

            Assert.True(code == 0, output + errors);
            await crowd.EndLines();
            await crowd.HearMore();
        }
        await crowd.Part();
        Assert.Equal(3, Spawned(supervisor));
        Assert.Equal(0, await supervisor.Stop());
    }

    private static string CommandOf(string server) =>
        server == DotnetServer ? """["${DOTNET}", "${CHAT_DLL}"]""" : """["${PYTHON}", "${CHAT_PY}"]""";

    /// <summary>The sample's own configuration, with a port that is free, the program under test and a short proof.</summary>
    private static Supervisor Start(string server, string prove = "100ms", string? command = null)
    {
        string text = File.ReadAllText(Path.Combine(Repository.Root, "samples", "chat", "chat.toml"));
        foreach ((string from, string to) in ((string, string)[])
        [
            ("127.0.0.1:7010", "127.0.0.1:0"), ("prove = \"1s\"", $"prove = \"{prove}\""),
            // The kernel takes little: the rest stays with the server.
            ("non_blocking = true", "non_blocking = true\nsend_buffer = \"8KiB\""),
            ("""["dotnet", "${CHAT_DLL:-../../artifacts/bin/Chat/debug/Chat.dll}"]""", command ?? CommandOf(server)),
        ])
        {
            Assert.Contains(from, text, StringComparison.Ordinal);
            text = text.Replace(from, to, StringComparison.Ordinal);
        }
        return Supervisor.StartText(text, Programs);
    }

    /// <summary>
    /// The second instance sleeps, the others are the server. It stays the shell that it was born as: of a process that is about to become
    /// another the environment cannot be read.
    /// </summary>
    private static Supervisor StartWithSleepingSuccessor(string server)
    {
        string program = CommandOf(server)[1..^1].Replace(", ", " ", StringComparison.Ordinal).Replace("\"", "", StringComparison.Ordinal);
        string script = $"if test -e first -a ! -e second; then touch second; sleep 2147483647; exit; fi; touch first; exec {program}";
        return Start(server, command: $"""["/bin/sh", "-c", "{script}"]""");
    }

    private static async Task<IPEndPoint> Address(Supervisor supervisor)
    {
        _ = await supervisor.Event("ready", "chat");
        return await supervisor.Address("chat");
    }

    private static int Spawned(Supervisor supervisor) => supervisor.Events.All().Count(e => e.Kind == "spawned");

    /// <summary>The second instance, whose part the test plays.</summary>
    private sealed class Played : IDisposable
    {
        private readonly Supervisor _supervisor;

        private Played(Supervisor supervisor, ChannelPeer channel)
        {
            _supervisor = supervisor;
            Channel = channel;
        }

        public ChannelPeer Channel { get; }

        public int Pid => Channel.Pid;

        public static async Task<Played> Of(Supervisor supervisor)
        {
            Assert.Equal(0, (await supervisor.Verb("restart", "chat", "--no-wait")).Code);
            return new Played(supervisor, await ChannelPeer.Of(supervisor, "chat", nth: 2));
        }

        /// <summary>Does what a successor does, until the old one has begun to hand over. The conversation.</summary>
        public async Task<Socket> TakesThePlace()
        {
            Channel.Send(ChannelPeer.Request("Watch", "{}", ",\"more\":true"));
            Assert.Equal("""{"parameters":{},"continues":true}""", Channel.ReadText());
            Assert.Contains("\"reason\":\"rollout\",\"predecessor\":1,", Channel.Call("Describe"), StringComparison.Ordinal);
            Assert.Equal("""{"parameters":{}}""", Channel.Call("Ready"));
            _ = await _supervisor.Event("draining", "chat");
            (string text, FileDescriptor[] descriptors) = Channel.Read();
            Assert.StartsWith(
                """{"parameters":{"event":"Received","name":"org.launchd-cs.HandOver","from":1,""", text, StringComparison.Ordinal);
            return new Socket(new SafeSocketHandle(Assert.Single(descriptors).ReleaseNumber(), ownsHandle: true));
        }

        public static async Task<JsonElement> State(Socket link)
        {
            using FileDescriptor memory = Assert.Single(await Ask(link, "state"));
            using FileStream stream = new(
                new Microsoft.Win32.SafeHandles.SafeFileHandle(memory.ReleaseNumber(), ownsHandle: true), FileAccess.Read);
            return JsonSerializer.Deserialize<JsonElement>(stream);
        }

        public static async Task<FileDescriptor[]> Connections(Socket link)
        {
            FileDescriptor[] some = await Ask(link, "some");
            Assert.Equal(30, some.Length);
            return some;
        }

        public void Dispose() => Channel.Dispose();

        private static async Task<FileDescriptor[]> Ask(Socket link, string expected)
        {
            using CancellationTokenSource deadline = new(Deadline.Generous);
            await link.SendDescriptorsAsync("next"u8.ToArray(), Array.Empty<SafeHandle>(), deadline.Token);
            byte[] buffer = new byte[16];
            using DescriptorMessage message = await link.ReceiveDescriptorsAsync(buffer, cancellation: deadline.Token);
            Assert.Equal(expected, Encoding.UTF8.GetString(buffer, 0, message.Length));
            return [.. Enumerable.Range(0, message.Count).Select(message.Take)];
        }
    }
}
