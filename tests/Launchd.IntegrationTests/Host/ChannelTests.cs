using System.Text.Json;
using System.Text.RegularExpressions;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Listening;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>What the channel promises, method by method; and the page that promises it, byte by byte.</summary>
public sealed partial class ChannelTests
{
    private const string Silent = """
        [services.app]
        command = ["sleep", "2147483647"]
        ready = "notify"
        ready_timeout = "1h"
        fd_store = 4

        """;

    [FactWhenRootAndTool("python3")]
    public async Task TheExamplesOfThePageAreWhatHappens()
    {
        string page = File.ReadAllText(Path.Combine(Repository.Root, "docs", "protocol.md"));
        int port = LoopbackPort.Free();
        string configuration = Configuration().Match(page).Groups[1].Value
            .Replace("127.0.0.1:8080", $"127.0.0.1:{port}", StringComparison.Ordinal)
            .Replace("[\"web\"]\nsockets", "[\"sleep\", \"2147483647\"]\nready_timeout = \"1h\"\nsockets", StringComparison.Ordinal)
            .Replace("[\"cache\"]\nready",
                "[\"python3\", \"-c\", \"import os,signal; os.dup2(os.memfd_create('ring'), 5); print('there', flush=True); "
                + "signal.pause()\"]\nready_timeout = \"1h\"\nready", StringComparison.Ordinal);
        await using Supervisor supervisor = Supervisor.StartText(configuration);
        using ChannelPeer web = await ChannelPeer.Of(supervisor, "web");
        using ChannelPeer cache = await ChannelPeer.Of(supervisor, "cache");
        _ = await supervisor.Output.First(l => l.Contains("there", StringComparison.Ordinal), "the memory of the cache");
        AwaitAddresses(web, "Get");

        int exchanges = 0;
        foreach (Match line in Line().Matches(page))
        {
            ChannelPeer peer = line.Groups["who"].Value == "web" ? web : cache;
            string text = line.Groups["text"].Value.Replace("127.0.0.1:8080", $"127.0.0.1:{port}", StringComparison.Ordinal);
            int count = line.Groups["count"].Success ? int.Parse(line.Groups["count"].Value) : 0;
            if (line.Groups["arrow"].Value == "→")
            {
                FileDescriptor[] sent = [.. Enumerable.Range(0, count).Select(_ => Some.Memory())];
                peer.Send(text, sent);
                foreach (FileDescriptor descriptor in sent)
                    descriptor.Dispose();
                continue;
            }
            (string answer, FileDescriptor[] descriptors) = peer.Read();
            Assert.Equal(text, answer);
            Assert.Equal(count, descriptors.Length);
            foreach (FileDescriptor descriptor in descriptors)
                descriptor.Dispose();
            exchanges++;
        }

        Assert.True(exchanges >= 20, $"only {exchanges} answers are shown");
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task NotificationsOverTheChannelAreNotifications()
    {
        await using Supervisor supervisor = Supervisor.StartText(Silent + "watchdog = \"1h\"\nstop_timeout = \"100ms\"\n");
        using ChannelPeer app = await ChannelPeer.Of(supervisor, "app");
        using ControlSocket control = await ControlSocket.To(supervisor);

        Assert.Equal("""{"parameters":{}}""", app.Call("ExtendTimeout", """{"microseconds":5000000}"""));
        Assert.Equal("""{"parameters":{}}""", app.Call("Status", """{"text":"half way"}"""));
        Assert.Equal("""{"parameters":{}}""", app.Call("Watchdog"));
        Assert.Equal("""{"parameters":{}}""", app.Call("Ready"));

        _ = await supervisor.Event("ready", "app");
        Assert.Equal("half way", (await control.Service("app")).GetProperty("instances")[0].GetProperty("status_text").GetString());
        Happening notified = await supervisor.Event("notified", "app");
        Assert.Equal(["EXTEND_TIMEOUT_USEC=5000000"], notified.Texts("lines"));
        Assert.Equal(app.Pid, notified.Pid);
        Assert.Equal("""{"parameters":{}}""", app.Call("Stopping"));
        _ = await supervisor.Event("draining", "app");
        // It does not end by itself as it said, and is told nothing: that is for the stop timeout.
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task WhatIsStored_IsGivenBack_ListedAndInherited()
    {
        await using Supervisor supervisor = Supervisor.StartText(Silent);
        using (ChannelPeer app = await ChannelPeer.Of(supervisor, "app"))
        {
            using FileDescriptor first = Some.Memory("first"), second = Some.Memory("second"), third = Some.Memory("third");
            Assert.Equal("""{"parameters":{"stored":2,"present":0}}""", app.Call("Store", """{"name":"a"}""", first, second));
            Assert.Equal("""{"parameters":{"stored":1,"present":2}}""", app.Call("Store", """{"name":"b"}""", second, third, third));
            Assert.Equal("""{"parameters":{"stored":0,"present":2}}""", app.Call("Store", """{"name":"a","if_absent":true}""", third));
            Assert.Equal(
                """{"parameters":{"stored":1,"present":0,"removed":2}}""", app.Call("Store", """{"name":"a","replace":true}""", second));
            Assert.Contains(
                "fd_store = 4", app.Call("Store", """{"name":"c"}""", first, Some.Memory(), Some.Memory()), StringComparison.Ordinal);
            Assert.Equal("""{"parameters":{}}""", app.Call("SaveState", "{}", first));
            app.Send(ChannelPeer.Request("Get"));
            (string answer, FileDescriptor[] got) = app.Read();
            Assert.Equal(["b", "a"], Names(answer));
            Assert.True(OpenDescription.AreSame(third, got[0]) && OpenDescription.AreSame(second, got[1]));
            Living.Signal(app.Pid, Living.SIGKILL);
        }

        using ChannelPeer next = await ChannelPeer.Of(supervisor, "app", nth: 2);
        Assert.Equal("b:a", ChannelPeer.Variable(next.Pid, "LISTEN_FDNAMES"));
        Assert.Equal("5", ChannelPeer.Variable(next.Pid, "LAUNCHD_CHANNEL"));
        Assert.Contains("/memfd:first", next.Call("LoadState"), StringComparison.Ordinal);
        Assert.Contains("\"reason\":\"restart\"", next.Call("Describe"), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task ALongListComesInPackets_OfWhichEachTellsItsOwnPlaces()
    {
        string ports = string.Join(", ", Enumerable.Repeat("\"tcp://127.0.0.1:0\"", 150));
        await using Supervisor supervisor = Supervisor.StartText($"""
            [sockets.first]
            listen = [{ports}]
            [sockets.second]
            listen = [{ports}]
            [services.app]
            command = ["sleep", "2147483647"]
            sockets = ["first", "second"]
            """);
        using ChannelPeer app = await ChannelPeer.Of(supervisor, "app");
        AwaitAddresses(app, "Get");

        app.Send(ChannelPeer.Request("Get"));
        app.Send(ChannelPeer.Request("Describe"));
        List<int> counts = [];
        HashSet<string> addresses = [];
        for (bool continues = true; continues;)
        {
            (string text, FileDescriptor[] descriptors) = app.Read();
            JsonElement answer = JsonElement.Parse(text);
            continues = answer.TryGetProperty("continues", out _);
            JsonElement[] list = [.. answer.GetProperty("parameters").GetProperty("descriptors").EnumerateArray()];
            Assert.Equal(Enumerable.Range(0, list.Length), list.Select(d => d.GetProperty("index").GetInt32()));
            Assert.Equal(list.Length, descriptors.Length);
            for (int i = 0; i < list.Length; i++)
            {
                string address = list[i].GetProperty("address").GetString()!;
                Assert.Equal(address, ListenerState.Read(descriptors[i]).Address);
                Assert.True(addresses.Add(address));
                descriptors[i].Dispose();
            }
            counts.Add(list.Length);
        }

        Assert.Equal([128, 128, 44], counts);
        // The answer behind it comes behind it.
        Assert.Equal("app", app.ReadJson().GetProperty("parameters").GetProperty("service").GetString());
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task ReloadService_TellsAProgramThatReadsItsChannel()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["sleep", "2147483647"]
            """);
        using (ChannelPeer app = await ChannelPeer.Of(supervisor, "app"))
        {
            (int refused, string before, string why) = await supervisor.Verb("reload-service", "app");
            Assert.NotEqual(0, refused);
            Assert.Contains("it has no 'reload' in the configuration", before + why, StringComparison.Ordinal);
            app.Send(ChannelPeer.Request("Watch", more: ",\"more\":true"));
            _ = app.ReadJson();

            (int code, string output, string errors) = await supervisor.Verb("reload-service", "app");

            Assert.True(code == 0, output + errors);
            Assert.Equal("Reload", app.ReadJson().GetProperty("parameters").GetProperty("event").GetString());
        }
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task LastWordsAreHeard()
    {
        await using Supervisor supervisor = Supervisor.StartText(Silent);
        using (ChannelPeer app = await ChannelPeer.Of(supervisor, "app"))
        {
            using FileDescriptor memory = Some.Memory("testament");
            Living.Signal(app.Pid, 19); // SIGSTOP: it cannot end before all is said
            for (int i = 0; i < 40; i++)
                app.Send(ChannelPeer.Request("Status", $$"""{"text":"{{i}}"}""", ",\"oneway\":true"));
            app.Send(ChannelPeer.Request("Store", """{"name":"testament"}""", ",\"oneway\":true"), memory);
            Living.Signal(app.Pid, Living.SIGKILL);
        }

        using ChannelPeer next = await ChannelPeer.Of(supervisor, "app", nth: 2);
        Assert.Equal("testament", ChannelPeer.Variable(next.Pid, "LISTEN_FDNAMES"));
        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>
    /// Asks for descriptors until the supervisor knows the addresses of all: it waits some milliseconds for the kernel to tell one, and on
    /// a busy machine that may not be enough. What it has been told once it remembers.
    /// </summary>
    private static void AwaitAddresses(ChannelPeer peer, string method)
    {
        long end = Environment.TickCount64 + (long)Deadline.Generous.TotalMilliseconds;
        for (bool isKnown = false; !isKnown;)
        {
            Assert.True(Environment.TickCount64 < end, "an address is not told");
            peer.Send(ChannelPeer.Request(method));
            isKnown = true;
            for (bool continues = true; continues;)
            {
                string packet = peer.ReadText();
                isKnown &= !packet.Contains("\"address\":\"\"", StringComparison.Ordinal);
                continues = JsonElement.Parse(packet).TryGetProperty("continues", out _);
            }
        }
    }

    private static IEnumerable<string?> Names(string answer) =>
        JsonElement.Parse(answer).GetProperty("parameters").GetProperty("descriptors")
            .EnumerateArray().Select(d => d.GetProperty("name").GetString());

    [GeneratedRegex("```toml\n(.*?)```", RegexOptions.Singleline)]
    private static partial Regex Configuration();

    [GeneratedRegex(@"^(?<who>web|cache) (?<arrow>[→←]) (?<text>\{.*?\})(?: \+ (?<count>\d+))?$", RegexOptions.Multiline)]
    private static partial Regex Line();
}
