using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Descriptors on their way from an instance to its successor, where one of the two is slow, or dies.</summary>
[Collection(nameof(Supervisors))]
public sealed class HandOverTests
{
    private const string Ok = """{"parameters":{}}""";
    private const string Watching = """{"parameters":{},"continues":true}""";
    private const string Ended = """{"parameters":{"event":"PredecessorEnded","predecessor":1},"continues":true}""";

    /// <summary>What is told to drain goes on; the tests decide when it ends.</summary>
    private const string Sleeping = """
        [services.app]
        command = ["sleep", "2147483647"]
        ready = "notify"
        ready_timeout = "1h"
        update = "overlap"
        rollout = { prove = "0s" }
        stop_signal = "SIGCONT"
        stop_timeout = "1h"
        backoff = { initial = "10ms" }
        """;

    [FactWhenRoot]
    public async Task ASuccessorThatWatchesAndDoesNotRead_GetsEverythingInOrder_AndKeepsItsChannel()
    {
        await using Supervisor supervisor = Supervisor.StartText(Sleeping);
        (ChannelPeer old, ChannelPeer next) = await Two(supervisor);
        using (old)
        using (next)
        {
            next.Send(ChannelPeer.Request("Watch", "{}", ",\"more\":true"));
            Assert.Equal(Watching, next.ReadText());
            Assert.Equal(Ok, next.Call("Ready"));
            HandOver(old, 600);
            Living.Kill(old.Pid);
            _ = await supervisor.Event("exited", "app");

            AssertReceived(next, 600);
            Assert.Equal(Ended, next.ReadText());
            Assert.DoesNotContain("predecessor", next.Call("Describe"), StringComparison.Ordinal);
            Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "channel-closed");
            await End(supervisor, next);
        }
    }

    [FactWhenRoot]
    public async Task WhoWatchesLate_KnowsUntilTheLastPacketThatThereIsMore()
    {
        await using Supervisor supervisor = Supervisor.StartText(Sleeping);
        (ChannelPeer old, ChannelPeer next) = await Two(supervisor);
        using (old)
        using (next)
        {
            Assert.Equal(Ok, next.Call("Ready"));
            HandOver(old, 600);
            Living.Kill(old.Pid);
            _ = await supervisor.Event("exited", "app");
            next.Send(ChannelPeer.Request("Watch", "{}", ",\"more\":true"));
            next.Send(ChannelPeer.Request("Describe"));
            // Nothing is read before both were handled, so that most of it has to wait.
            Assert.Equal(0, (await supervisor.Verb("status")).Code);

            Assert.Equal(Watching, next.ReadText());
            AssertReceived(next, 600, answer => Assert.Contains("\"predecessor\":1", answer, StringComparison.Ordinal));
            Assert.Equal(Ended, next.ReadText());
            await End(supervisor, next);
        }
    }

    [FactWhenRoot]
    public async Task WhatWaitsIsBounded_AndClosedWithWhoItWaitsFor()
    {
        await using Supervisor supervisor = Supervisor.StartText(Sleeping);
        (ChannelPeer old, ChannelPeer next) = await Two(supervisor);
        using (old)
        using (next)
        {
            int pid = await supervisor.Pid();
            using ControlSocket control = await ControlSocket.To(supervisor);
            // The connection of the verb by which the second was started is closed before this one is answered.
            _ = await control.Call("Status");
            int before = Living.DescriptorCount(pid);
            using FileDescriptor memory = Some.Memory();
            FileDescriptor[] many = [.. Enumerable.Repeat(memory, 128)];
            for (int i = 0; i < 8; i++)
                Assert.Equal(Ok, old.Call("HandOver", """{"name":"many"}""", many));
            Assert.Equal(
                """{"error":"org.launchd-cs.Instance.LimitReached","parameters":"""
                + """{"limit":"1024 descriptors that wait for the successor"}}""",
                old.Call("HandOver", """{"name":"one"}""", memory));
            // Without the one that was refused, which is closed beside the loop.
            await control.Descriptors(pid, before + 1024);

            Living.Kill(next.Pid);
            _ = await supervisor.Event("exited", "app");

            Assert.Contains("there is no successor", old.Call("HandOver", """{"name":"one"}""", memory), StringComparison.Ordinal);
            await control.DescriptorsAtMost(pid, before + Living.DescriptorsOfBirthThreads);
            await End(supervisor, old);
        }
    }

    [FactWhenRoot]
    public async Task WhenTheOneThatTookThePlaceDies_TheNextIsTheSuccessor_AndAStopSaysThatThereIsNone()
    {
        await using Supervisor supervisor = Supervisor.StartText(Sleeping);
        (ChannelPeer old, ChannelPeer dead) = await Two(supervisor);
        using (old)
        using (dead)
        {
            old.Send(ChannelPeer.Request("Watch", "{}", ",\"more\":true"));
            Assert.Equal(Watching, old.ReadText());
            Assert.Contains("\"reason\":\"rollout\",\"predecessor\":1,", dead.Call("Describe"), StringComparison.Ordinal);
            Assert.Equal(Ok, dead.Call("Ready"));
            Assert.EndsWith(",\"successor\":2},\"continues\":true}", old.ReadText(), StringComparison.Ordinal);

            Living.Kill(dead.Pid);

            Assert.Equal("""{"parameters":{"event":"HandOver","successor":3},"continues":true}""", old.ReadText());
            using ChannelPeer next = await ChannelPeer.Of(supervisor, "app", nth: 3);
            Assert.Contains("\"reason\":\"restart\",\"predecessor\":1,", next.Call("Describe"), StringComparison.Ordinal);
            HandOver(old, 1);
            next.Send(ChannelPeer.Request("Watch", "{}", ",\"more\":true"));
            Assert.Equal(Watching, next.ReadText());
            AssertReceived(next, 1);

            Assert.Equal(0, (await supervisor.Verb("stop", "app", "--no-wait")).Code);

            JsonElement drain = old.ReadJson().GetProperty("parameters");
            Assert.Equal("Drain", drain.GetProperty("event").GetString());
            Assert.False(drain.TryGetProperty("successor", out _));
            Living.Kill(old.Pid);
            await End(supervisor, next);
        }
    }

    /// <summary>A ready instance, and the one that is to take its place.</summary>
    private static async Task<(ChannelPeer Old, ChannelPeer Next)> Two(Supervisor supervisor)
    {
        ChannelPeer old = await ChannelPeer.Of(supervisor, "app");
        Assert.Equal(Ok, old.Call("Ready"));
        Assert.Equal(0, (await supervisor.Verb("restart", "app", "--no-wait")).Code);
        return (old, await ChannelPeer.Of(supervisor, "app", nth: 2));
    }

    private static void HandOver(ChannelPeer old, int count)
    {
        for (int i = 0; i < count; i++)
        {
            using FileDescriptor memory = Some.Memory($"m{i}");
            Assert.Equal(Ok, old.Call("HandOver", $$"""{"name":"m{{i}}"}""", memory));
        }
    }

    /// <summary>The next packets are these, with one descriptor each; an answer may stand between them.</summary>
    private static void AssertReceived(ChannelPeer next, int count, Action<string>? answer = null)
    {
        for (int i = 0; i < count; i++)
        {
            (string text, FileDescriptor[] descriptors) = next.Read();
            if (answer is not null && !text.Contains("\"event\"", StringComparison.Ordinal))
            {
                answer(text);
                answer = null;
                i--;
                continue;
            }
            Assert.StartsWith($$"""{"parameters":{"event":"Received","name":"m{{i}}","from":1,""", text, StringComparison.Ordinal);
            Assert.Single(descriptors).Dispose();
        }
        if (answer is not null)
            Assert.Fail($"no answer before {next.ReadText()} {next.ReadText()}");
    }

    private static async Task End(Supervisor supervisor, ChannelPeer last)
    {
        Task<int> stopped = supervisor.Stop();
        _ = await supervisor.Events.First(e => e.Kind == "draining" && e.Pid == last.Pid, "the drain of the last");
        Living.Signal(last.Pid, Living.SIGKILL);
        Assert.Equal(0, await stopped);
    }
}
