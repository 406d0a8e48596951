using System.Text;
using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Sockets;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Whatever is sent to the control socket: it costs that connection at most, and is counted.</summary>
public sealed class BadControlTests
{
    private const string Quiet = """
        [services.app]
        command = ["sleep", "2147483647"]
        notify_access = "all"
        """;

    [Theory]
    [InlineData("garbage\0", "control-messages-unreadable")]
    [InlineData("\0", "control-messages-unreadable")]
    [InlineData("[]\0", "control-messages-unreadable")]
    [InlineData("null\0", "control-messages-unreadable")]
    [InlineData("""{"parameters":{}}""" + "\0", "control-messages-unreadable")]
    [InlineData("""{"method":null}""" + "\0", "control-messages-unreadable")]
    [InlineData("""{"method":"a","unknown":1}""" + "\0", "control-messages-unreadable")]
    [InlineData("{\"method\":\"\xff\xfe\0", "control-messages-unreadable")]
    public async Task WhatIsNoCallEndsItsConnection(string message, string counter)
    {
        await using Supervisor supervisor = Supervisor.StartText(Quiet);
        using ControlSocket good = await ControlSocket.To(supervisor);
        using ControlSocket bad = await ControlSocket.To(supervisor);

        await bad.Send(Encoding.Latin1.GetBytes(message));

        Assert.Null(await bad.Read());
        Assert.Equal(1, await good.Counter(counter));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenKernel(6, 16)]
    public async Task DescriptorsAreRefusedByTheKernel()
    {
        await using Supervisor supervisor = Supervisor.StartText(Quiet);
        using ControlSocket control = await ControlSocket.To(supervisor);
        using System.Net.Sockets.Socket bad = new(System.Net.Sockets.AddressFamily.Unix, System.Net.Sockets.SocketType.Stream, 0);
        await bad.ConnectAsync(new System.Net.Sockets.UnixDomainSocketEndPoint(supervisor.Scratch.At("run/control.sock")));
        using FileDescriptor borrowed = new((int)bad.Handle);
        using FileDescriptor memory = Some.Memory();

        SendResult sent = UnixSocket.Send(borrowed, "x"u8, memory);
        borrowed.SetHandleAsInvalid();

        Assert.Equal(Errno.EPERM, sent.Errno);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task AnEndlessMessageAndADeepOneEndTheirConnections_TheSupervisorGoesOn()
    {
        await using Supervisor supervisor = Supervisor.StartText(Quiet);
        int pid = await supervisor.Pid();
        using ControlSocket good = await ControlSocket.To(supervisor);
        using ControlSocket endless = await ControlSocket.To(supervisor);
        using ControlSocket deep = await ControlSocket.To(supervisor);
        using ControlSocket half = await ControlSocket.To(supervisor);

        await endless.Send(Enumerable.Repeat((byte)'x', 2 << 20).ToArray());
        await deep.Send("{\"method\":\"x\",\"parameters\":{\"a\":" + new string('[', 100_000) + new string(']', 100_000) + "}}\0");
        await half.Send("""{"method":"org.launchd-cs""");

        Assert.Null(await endless.Read());
        Assert.Null(await deep.Read());
        Assert.Equal(1, await good.Counter("control-messages-too-long"));
        Assert.Equal(1, await good.Counter("control-messages-unreadable"));
        await half.Send(".Supervisor.Status\"}\0");
        Assert.NotNull(await half.Read());
        half.Dispose();
        Assert.Equal(pid, (await good.Call("Status")).GetProperty("supervisor").GetProperty("pid").GetInt32());
        Assert.Equal(0, await supervisor.Stop());
    }

    [Theory]
    [InlineData("Nonsense", "{}", "org.varlink.service.MethodNotFound")]
    [InlineData("org.varlink.service.Nonsense", "{}", "org.varlink.service.MethodNotFound")]
    [InlineData("Start", """{"services":5}""", "org.varlink.service.InvalidParameter")]
    [InlineData("Start", """{"services":[null]}""", "org.varlink.service.InvalidParameter")]
    [InlineData("Start", """{"services":["app"],"unknown":1}""", "org.varlink.service.InvalidParameter")]
    [InlineData("Start", "null", "org.varlink.service.InvalidParameter")]
    [InlineData("Start", "[]", "org.varlink.service.InvalidParameter")]
    [InlineData("Start", "{}", "org.varlink.service.InvalidParameter")]
    [InlineData("Signal", """{"services":["app"],"signal":"SIGNONE"}""", "org.varlink.service.InvalidParameter")]
    [InlineData("Logs", """{"lines":99999999999}""", "org.varlink.service.InvalidParameter")]
    [InlineData("Status", """{"service":"nobody"}""", "org.launchd-cs.Supervisor.NoSuchService")]
    [InlineData("Fetch", "{}", "org.varlink.service.InvalidParameter")]
    public async Task AWrongCallIsRefusedByName_AndTheConnectionGoesOn(string method, string parameters, string error)
    {
        await using Supervisor supervisor = Supervisor.StartText(Quiet);
        _ = await supervisor.Event("ready", "app");
        using ControlSocket control = await ControlSocket.To(supervisor);

        JsonElement? answer = await control.Ask(method, parameters);

        Assert.Equal(error, answer?.GetProperty("error").GetString());
        Assert.Equal("ready", (await control.Service("app")).GetProperty("state").GetString());
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task WhoLeavesLeavesNothingBehind()
    {
        await using Supervisor supervisor = Supervisor.StartText(Quiet);
        _ = await supervisor.Event("ready", "app");
        using ControlSocket staying = await ControlSocket.To(supervisor);
        _ = await staying.Call("Status");
        int pid = await supervisor.Pid();
        int before = Living.DescriptorCount(pid);
        using (ControlSocket leaving = await ControlSocket.To(supervisor))
        {
            _ = await leaving.Call("Status");
            Assert.Equal(before + 1, Living.DescriptorCount(pid));
        }

        await staying.Until(() => Living.DescriptorCount(pid) == before, () => $"{Living.DescriptorCount(pid)} descriptors");
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task TwoHundredSilentConnectionsLockNobodyOut()
    {
        await using Supervisor supervisor = Supervisor.StartText(Quiet);
        _ = await supervisor.Event("ready", "app");
        using ControlSocket first = await ControlSocket.To(supervisor);
        _ = await first.Call("Status");
        List<ControlSocket> silent = [];
        for (int i = 0; i < 200; i++)
        {
            silent.Add(await ControlSocket.To(supervisor));
            // An answer says that the queue of connections, which holds 128, was emptied.
            if (i % 32 != 0)
                continue;
            using ControlSocket asking = await ControlSocket.To(supervisor);
            _ = await asking.Call("Status");
        }

        using ControlSocket late = await ControlSocket.To(supervisor);

        Assert.Equal("ready", (await late.Service("app")).GetProperty("state").GetString());
        Assert.True(await late.Counter("control-connections-evicted") > 100);
        silent.ForEach(s => s.Dispose());
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task WhoDoesNotReadHisEventsLosesThem_AndNobodyElseDoes()
    {
        await using Supervisor supervisor = Supervisor.StartText(Quiet);
        _ = await supervisor.Event("ready", "app");
        int pid = await supervisor.Pid();
        using ControlSocket control = await ControlSocket.To(supervisor);
        using ControlSocket deaf = await ControlSocket.To(supervisor);
        await deaf.Begin("Events", """{"follow":true}""");
        using Sender sender = new(supervisor);
        string text = new('x', 4000);
        for (int i = 0; i < 5000; i++)
            sender.Send($"STATUS={i} {text}");
        sender.Send("STATUS=the last one");

        await HasStatusText(control, "the last one");
        Assert.Equal(pid, (await control.Call("Status")).GetProperty("supervisor").GetProperty("pid").GetInt32());
        // He may begin to read at any time, and is told how many are missing.
        long lost = 0;
        while (lost == 0 && await deaf.Read() is { } batch)
        {
            lost += batch.GetProperty("parameters").GetProperty("lost").GetInt64();
            sender.Send("STATUS=more");
        }
        Assert.True(lost > 0);
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task EventsThatAreLargerThanTheQueueAreAllTold()
    {
        await using Supervisor supervisor = Supervisor.StartText(Quiet);
        _ = await supervisor.Event("ready", "app");
        using ControlSocket control = await ControlSocket.To(supervisor);
        using Sender sender = new(supervisor);
        string text = new('x', 4000);
        for (int i = 0; i < 4096; i++)
            sender.Send($"STATUS={text}");
        sender.Send("STATUS=the last one");
        await HasStatusText(control, "the last one");

        await control.Begin("Events", "{}");
        int count = 0;
        bool continues = true;
        while (continues)
        {
            JsonElement answer = await control.Read() ?? throw new InvalidOperationException($"closed after {count} events");
            count += answer.GetProperty("parameters").GetProperty("events").GetArrayLength();
            continues = answer.TryGetProperty("continues", out JsonElement more) && more.GetBoolean();
        }

        Assert.Equal(4096, count);
        Assert.Equal(0, await supervisor.Stop());
    }

    // Asked of the supervisor itself: who follows the events may lose some of so many.
    private static async Task HasStatusText(ControlSocket control, string text)
    {
        string? shown = null;
        while (shown != text)
        {
            JsonElement service = (await control.Call("Status")).GetProperty("services")[0];
            shown = service.GetProperty("instances")[0].TryGetProperty("status_text", out JsonElement said) ? said.GetString() : null;
        }
    }
}
