using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Sockets;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Whatever a program does on its channel: it alone is affected, everything it sent is closed, and the events say why.</summary>
public sealed class BadChannelTests
{
    private const string Two = """
        [services.app]
        command = ["sleep", "2147483647"]
        ready = "spawned"
        fd_store = 2

        [services.other]
        command = ["sleep", "2147483647"]

        """;

    [FactWhenRoot]
    public async Task WhatIsWrongIsAnErrorOfThatRequestAlone_AndNothingStaysOpen()
    {
        await using Supervisor supervisor = Supervisor.StartText(Two);
        await AllAreUp(supervisor, "app", "other");
        using ChannelPeer app = await ChannelPeer.Of(supervisor, "app");
        int pid = await supervisor.Pid();
        using FileDescriptor memory = Some.Memory();
        _ = app.Call("Describe");
        int before = Living.DescriptorCount(pid);
        FileDescriptor[] most = [.. Enumerable.Repeat(memory, 253)];

        for (int round = 0; round < 20; round++)
        {
            Assert.Contains("BadRequest", Say(app, "nonsense", memory), StringComparison.Ordinal);
            Assert.Contains("BadRequest", Say(app, "", memory), StringComparison.Ordinal);
            Assert.Contains("BadRequest", Say(app, "{\"method\":\"\\ud800\"}"), StringComparison.Ordinal);
            Assert.Contains("65536 bytes a packet", Say(app, new string(' ', 65_537), memory), StringComparison.Ordinal);
            Assert.Contains(
                "128 descriptors a packet", Say(app, ChannelPeer.Request("Store", """{"name":"x"}"""), most), StringComparison.Ordinal);
            Assert.Contains(
                "fd_store = 2", Say(app, ChannelPeer.Request("Store", """{"name":"x"}"""), Some.Memory(), Some.Memory(), memory),
                StringComparison.Ordinal);
            Assert.Contains("Get takes no descriptors", Say(app, ChannelPeer.Request("Get"), memory, memory), StringComparison.Ordinal);
            Assert.Contains("MethodNotFound", Say(app, """{"method":"org.example.Nothing"}""", memory), StringComparison.Ordinal);
            Assert.Contains(
                "instance channel", Say(app, ChannelPeer.Request("Store", """{"name":"x"}"""), memory, app.End), StringComparison.Ordinal);
            Assert.Contains(
                "\"parameter\":\"ask\"", Say(app, ChannelPeer.Request("Give", """{"ask":1}"""), memory), StringComparison.Ordinal);
            Assert.Contains("\"service\":\"app\"", app.Call("Describe"), StringComparison.Ordinal);
        }

        using ControlSocket control = await ControlSocket.To(supervisor);
        // What is a socket is closed beside the loop; its end of this connection counts.
        await control.Descriptors(pid, before + 1);
        Assert.Equal(60, await control.Counter("channel-packets-unreadable"));
        Assert.Equal(40, await control.Counter("channel-packets-unsound"));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task WhoDoesNotReadIsCutOff_AndTheOthersDoNotNotice()
    {
        await using Supervisor supervisor = Supervisor.StartText(Two);
        await AllAreUp(supervisor, "app", "other");
        using ChannelPeer app = await ChannelPeer.Of(supervisor, "app");
        using ChannelPeer other = await ChannelPeer.Of(supervisor, "other");
        int pid = await supervisor.Pid();
        using ControlSocket control = await ControlSocket.To(supervisor);
        _ = await control.Call("Status");
        _ = other.Call("Describe");
        int before = Living.DescriptorCount(pid);

        // Its queue of answers fills while it goes on asking; between, the other one is served.
        int asked = 0;
        for (SendOutcome outcome = SendOutcome.Sent; outcome != SendOutcome.PeerGone; asked++)
        {
            Assert.True(asked < 100_000, "it is never cut off");
            outcome = app.TrySend(ChannelPeer.Request("Describe"));
            if (asked % 16 == 0)
                Assert.Contains("\"service\":\"other\"", other.Call("Describe"), StringComparison.Ordinal);
        }

        Happening closed = await supervisor.Event("channel-closed", "app");
        Assert.Contains("wait for it to read", closed.Text("reason"), StringComparison.Ordinal);
        Assert.Equal(app.Pid, closed.Pid);
        Assert.Contains("\"service\":\"other\"", other.Call("Describe"), StringComparison.Ordinal);
        Assert.True(Living.IsAlive(app.Pid));
        await control.Descriptors(pid, before - 1);
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task AFloodOfStoresCostsNobodyElseAnything()
    {
        await using Supervisor supervisor = Supervisor.StartText(Two);
        using ChannelPeer app = await ChannelPeer.Of(supervisor, "app");
        using ChannelPeer other = await ChannelPeer.Of(supervisor, "other");
        int pid = await supervisor.Pid();
        using ControlSocket control = await ControlSocket.To(supervisor);
        _ = await control.Call("Status");
        FileDescriptor[] some = [.. Enumerable.Range(0, 100).Select(_ => Some.Memory())];
        _ = other.Call("Describe");
        int before = Living.DescriptorCount(pid);

        for (int i = 0; i < 200; i++)
        {
            while (app.TrySend(ChannelPeer.Request("Store", """{"name":"flood"}""", ",\"oneway\":true"), some) != SendOutcome.Sent)
                Assert.Contains("\"service\":\"other\"", other.Call("Describe"), StringComparison.Ordinal);
        }
        Assert.Contains("\"service\":\"app\"", app.Call("Describe"), StringComparison.Ordinal);

        await control.DescriptorsAtMost(pid, before);
        foreach (FileDescriptor descriptor in some)
            descriptor.Dispose();
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task ManyOperationsLeaveTheCountOfDescriptorsAsItWas()
    {
        await using Supervisor supervisor = Supervisor.StartText(Two + """

            [sockets.http]
            listen = "tcp://127.0.0.1:0"
            [services.third]
            command = ["sleep", "2147483647"]
            sockets = ["http"]
            share = { "*" = ["third"] }
            request = ["third/*"]
            """);
        await AllAreUp(supervisor, "app", "other", "third");
        using ChannelPeer third = await ChannelPeer.Of(supervisor, "third");
        int pid = await supervisor.Pid();
        _ = third.Call("Publish", """{"name":"null","number":0}""");
        OneOfEach(third);
        using ControlSocket control = await ControlSocket.To(supervisor);
        // What is closed beside the loop takes a few numbers more for a moment.
        int before = int.MaxValue;
        for (int i = 0; i < 50; i++)
        {
            _ = await control.Call("Status");
            before = Math.Min(before, Living.DescriptorCount(pid));
        }

        for (int i = 0; i < 500; i++)
            OneOfEach(third);

        await control.DescriptorsAtMost(pid, before);
        Assert.Equal(0, await supervisor.Stop());
    }

    private static void OneOfEach(ChannelPeer third)
    {
        _ = third.Call("Get", """{"names":["http"]}""");
        Assert.Contains("taken", third.Call("Request", """{"service":"third","slot":0,"name":"null"}"""), StringComparison.Ordinal);
        _ = third.Call("Request", """{"service":"third","slot":0,"name":"null","mode":"direct"}""");
        Assert.Contains("EOPNOTSUPP",
            third.Call("Request", """{"service":"third","slot":0,"name":"null","mode":"reopen"}"""), StringComparison.Ordinal);
        Assert.Contains("held", third.Call("Request", """{"service":"third","slot":0,"name":"http"}"""), StringComparison.Ordinal);
    }

    [FactWhenRoot]
    public async Task OneThatDiesInTheMiddleLeavesNothing()
    {
        await using Supervisor supervisor =
            Supervisor.StartText(Two.Replace("fd_store = 2", "share = { late = [\"asking\"] }", StringComparison.Ordinal) + """

            [services.asking]
            command = ["sleep", "2147483647"]
            request = ["app/late"]
            restart = "never"
            """);
        int pid = await supervisor.Pid();
        using (ChannelPeer asking = await ChannelPeer.Of(supervisor, "asking"))
        {
            asking.Send(ChannelPeer.Request("Request", """{"service":"app","name":"late","wait":3600000000}"""));
            asking.Send(ChannelPeer.Request("Store", """{"name":"x"}"""), Some.Memory());
            Living.Signal(asking.Pid, Living.SIGKILL);
        }
        _ = await supervisor.Event("exited", "asking");
        using ChannelPeer other = await ChannelPeer.Of(supervisor, "other");
        JsonElement answer = JsonElement.Parse(other.Call("Describe"));

        Assert.Equal("other", answer.GetProperty("parameters").GetProperty("service").GetString());
        // What it sent last is closed beside the loop.
        using ControlSocket control = await ControlSocket.To(supervisor);
        await control.Until(
            () => !Directory.GetFiles($"/proc/{pid}/fd").Any(f => DescriptorLinks.IsTo(f, "/memfd:memory")), () => "its memory is open");
        Assert.Equal(0, await supervisor.Stop());
    }

    // What a birth opens is counted with the rest.
    private static async Task AllAreUp(Supervisor supervisor, params string[] services)
    {
        foreach (string service in services)
            _ = await supervisor.Event("spawned", service);
    }

    private static string Say(ChannelPeer peer, string text, params ReadOnlySpan<FileDescriptor> descriptors)
    {
        peer.Send(text, descriptors);
        return peer.ReadText();
    }
}
