using Launchd.AcceptanceTests.Support;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Loop;
using Launchd.Linux.Sockets;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Whatever is sent to a notify socket: it is counted, nothing of it stays, and the others are served.</summary>
[Collection(nameof(Supervisors))]
public sealed class BadNotificationTests
{
    private const string Waiting = """
        [services.app]
        command = ["sleep", "2147483647"]
        ready = "notify"
        ready_timeout = "1h"

        """;

    private const string Talking = Waiting + "notify_access = \"all\"\nfd_store = 2\n";

    [Fact]
    public async Task AStrangerIsRefusedAndCounted()
    {
        await using Supervisor supervisor = Supervisor.StartText(Waiting);
        _ = await supervisor.Event("spawned", "app");
        using ControlSocket control = await ControlSocket.To(supervisor);
        using Sender stranger = new(supervisor);

        stranger.Send("READY=1\nSTATUS=it was not me");

        // Notifications are read before requests, so what was sent before the question is answered for.
        Assert.Equal(1, await control.Counter("notifications-refused"));
        Assert.Equal("starting", (await control.Service("app")).GetProperty("state").GetString());
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task GarbageIsCountedByKind_AndTheNextGoodMessageIsHeard()
    {
        await using Supervisor supervisor = Supervisor.StartText(Talking);
        _ = await supervisor.Event("spawned", "app");
        using ControlSocket control = await ControlSocket.To(supervisor);
        using Sender sender = new(supervisor);

        foreach (string unreadable in (string[])["", "\0\0\0", "READY", "=1\n\n=\n", "READY=1\0STATUS=x", "BARRIER=1\nREADY=1"])
            sender.Send(unreadable);
        sender.Send(new byte[4097]);
        sender.Send(new byte[60_000]);
        sender.Send([.. "STATUS=\u001b[2J"u8, 0xff, 0xfe]);
        sender.Send("MAINPID=-1\nWATCHDOG_USEC=99999999999999999999\nEXTEND_TIMEOUT_USEC=x\nFDSTORE=1\nFDNAME=../../a:b");

        Assert.Equal(6, await control.Counter("notifications-unreadable"));
        Assert.Equal(2, await control.Counter("notifications-unsound"));
        Assert.Equal("starting", (await control.Service("app")).GetProperty("state").GetString());
        sender.Send("READY=1\nSTATUS=now");
        _ = await supervisor.Event("ready", "app");
        Assert.Equal("now", (await control.Service("app")).GetProperty("instances")[0].GetProperty("status_text").GetString());
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task DescriptorsThatNobodyAskedForAreClosed()
    {
        await using Supervisor supervisor = Supervisor.StartText(Talking);
        _ = await supervisor.Event("spawned", "app");
        int pid = await supervisor.Pid();
        using ControlSocket control = await ControlSocket.To(supervisor);
        using Sender sender = new(supervisor);
        (FileDescriptor first, FileDescriptor second) = UnixSocket.Pair(UnixSocketKind.Stream);
        using (first)
        using (second)
        {
            _ = await control.Call("Status");
            int before = Living.DescriptorCount(pid);

            for (int i = 0; i < 300; i++)
            {
                sender.Send("STATUS=descriptors that nobody asked for", first, second);
                sender.Send("garbage", first);
                sender.Send(new byte[5000], first, second);
                sender.Send("FDSTOREREMOVE=1\nFDNAME=none", first);
            }

            _ = await control.Call("Status");
            // What is sent can wait behind sixteen others for a turn: the barrier comes after all of it.
            (FileDescriptor barrier, FileDescriptor passed) = UnixSocket.Pair(UnixSocketKind.Stream);
            using (barrier)
            {
                sender.Send("BARRIER=1", passed);
                passed.Dispose();
                // On a stream the end reads as a message of no bytes.
                Assert.Equal(0, Await(barrier).Length);
            }
            await control.DescriptorsAtMost(pid, before);
            Assert.Equal(300, await control.Counter("notifications-unreadable"));
            Assert.Equal(300, await control.Counter("notifications-unsound"));
        }
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task TheStoreTakesItsLimitAndSaysWhatItRefused()
    {
        await using Supervisor supervisor = Supervisor.StartText(Talking);
        _ = await supervisor.Event("spawned", "app");
        int pid = await supervisor.Pid();
        using ControlSocket control = await ControlSocket.To(supervisor);
        using Sender sender = new(supervisor);
        _ = await control.Call("Status");
        int before = Living.DescriptorCount(pid);
        (FileDescriptor Ours, FileDescriptor Theirs)[] pairs =
            [.. Enumerable.Range(0, 4).Select(_ => UnixSocket.Pair(UnixSocketKind.Stream))];
        try
        {
            sender.Send("FDSTORE=1\nFDNAME=kept", pairs[0].Theirs);
            // The same open file description once more, which costs no place, whatever its name.
            sender.Send("FDSTORE=1\nFDNAME=again", pairs[0].Theirs);
            sender.Send("FDSTORE=1\nFDNAME=unpolled\nFDPOLL=0", pairs[1].Theirs);
            sender.Send("FDSTORE=1\nFDNAME=third", pairs[2].Theirs, pairs[3].Theirs);
            Happening refused = await supervisor.Events.First(
                e => e.Kind == "stored" && e.Text("refused") is not null, "a refusal", nth: 2);

            Assert.Equal("third", refused.Text("name"));
            Assert.Contains("holds 2", refused.Text("refused"), StringComparison.Ordinal);
            await control.Descriptors(pid, before + 2);
            Assert.Equal(["kept", "unpolled"], await Stored(control));
        }
        finally
        {
            foreach ((FileDescriptor ours, FileDescriptor theirs) in pairs)
            {
                ours.Dispose();
                theirs.Dispose();
            }
        }

        // All our ends are closed: the polled one hangs up and is dropped, the other stays until it is removed.
        sender.Send("STATUS=after the hang-up");
        _ = await supervisor.Events.First(e => e.Texts("lines").Contains("STATUS=after the hang-up"), "the message behind");
        _ = await control.Call("Status");
        string[] kept = await Stored(control);
        Assert.Equal(["unpolled"], kept);
        sender.Send("FDSTOREREMOVE=1\nFDNAME=unpolled");
        Assert.Empty(await Stored(control));
        await control.DescriptorsAtMost(pid, before);
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task WhatNobodyMayKeepIsNotStored_AndTheOthersOfTheMessageAre()
    {
        await using Supervisor supervisor = Supervisor.StartText(Talking);
        Happening spawned = await supervisor.Event("spawned", "app");
        using ControlSocket control = await ControlSocket.To(supervisor);
        using Sender sender = new(supervisor);
        using FileDescriptor channel = ChannelPeer.Take(spawned.Pid, ChannelPeer.ChannelNumber(spawned.Pid));
        using EventLoop epoll = new();
        using FileDescriptor memory = Some.Memory();

        sender.Send("FDSTORE=1\nFDNAME=all", channel, memory, epoll.Descriptor);

        _ = await supervisor.Events.First(
            e => e.Kind == "stored" && e.Text("refused") == "the end of an instance channel cannot be stored", "channel");
        _ = await supervisor.Events.First(e => e.Kind == "stored" && e.Text("refused") == "an eventpoll cannot be stored", "epoll");
        Assert.Equal(["all"], await Stored(control));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task AFloodOfRefusalsDoesNotPushEverythingElseOutOfTheEvents()
    {
        await using Supervisor supervisor = Supervisor.StartText(Talking.Replace("fd_store = 2", "fd_store = 0", StringComparison.Ordinal));
        _ = await supervisor.Event("spawned", "app");
        using ControlSocket control = await ControlSocket.To(supervisor);
        using Sender sender = new(supervisor);
        FileDescriptor[] many = [.. Enumerable.Range(0, 250).Select(_ => Some.Memory())];

        for (int i = 0; i < 40; i++)
            sender.Send("FDSTORE=1\nFDNAME=flood", many);
        sender.Send("STATUS=over");

        _ = await supervisor.Events.First(e => e.Texts("lines").Contains("STATUS=over"), "the message behind");
        Assert.InRange(supervisor.Events.All().Count(e => e.Kind == "stored"), 64, 1000);
        (_, string history, _) = await supervisor.Verb("events");
        Assert.Contains("spawned", history, StringComparison.Ordinal);
        foreach (FileDescriptor one in many)
            one.Dispose();
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task AFloodFromOneDoesNotDeafenTheSupervisorToOthers()
    {
        const int Messages = 100_000;
        await using Supervisor supervisor = Supervisor.StartText(Talking + """

            [services.other]
            command = ["/bin/sh", "-c", "systemd-notify --ready || exit 9; exec sleep 2147483647"]
            start = "manual"
            ready = "notify"
            notify_access = "all"
            """);
        _ = await supervisor.Event("spawned", "app");
        int pid = await supervisor.Pid();
        using ControlSocket control = await ControlSocket.To(supervisor);
        using Sender flooder = new(supervisor);
        int sent = 0;
        bool enough = false;
        TaskCompletionSource underway = new(TaskCreationOptions.RunContinuationsAsynchronously);
        Task flood = Task.Run(() =>
        {
            for (; sent < Messages || !Volatile.Read(ref enough); sent++)
            {
                flooder.Send("STATUS=again and again");
                if (sent == 1000)
                    underway.SetResult();
            }
        });
        await underway.Task.WaitAsync(Deadline.Generous);

        // The flood does not end before both were answered.
        System.Text.Json.JsonElement verdict = await control.Call("Start", """{"services":["other"]}""");
        _ = await control.Call("Status");
        Volatile.Write(ref enough, true);
        await flood.WaitAsync(Deadline.Generous);

        Assert.True(verdict.GetProperty("results")[0].GetProperty("ok").GetBoolean(), verdict.ToString());
        Assert.Equal(pid, (await control.Call("Status")).GetProperty("supervisor").GetProperty("pid").GetInt32());
        Assert.True(sent >= Messages);
        Assert.Equal(0, await supervisor.Stop());
    }

    private static async Task<string[]> Stored(ControlSocket control) =>
        [.. (await control.Call("Descriptors")).GetProperty("descriptors").EnumerateArray()
            .Where(d => d.GetProperty("origin").GetString() == "stored")
            .Select(d => d.GetProperty("name").GetString() ?? "")];

    /// <summary>Waits until the other end says something or closes.</summary>
    private static Received Await(FileDescriptor socket)
    {
        using System.Net.Sockets.Socket waiting = new(new System.Net.Sockets.SafeSocketHandle(socket.Number, ownsHandle: false));
        Assert.True(waiting.Poll(Deadline.Generous, System.Net.Sockets.SelectMode.SelectRead), "nothing came");
        return UnixSocket.Receive(socket, new byte[16]);
    }
}
