using System.Net.Sockets;
using System.Runtime.InteropServices;
using Launchd.AcceptanceTests.Support;
using Launchd.Client.Tests.Support;
using Xunit;

namespace Launchd.Client.Tests;

/// <summary>What the client says on the channel, byte for byte, and what it makes of the answers.</summary>
public sealed class ChannelTests
{
    private const string Ok = """{"parameters":{}}""";
    private const string Watch = """{"method":"org.launchd-cs.Instance.Watch","more":true}""";
    private const string Watching = """{"parameters":{},"continues":true}""";
    private const string AskRing = """{"method":"org.launchd-cs.Instance.Request","parameters":{"service":"cache","name":"ring"}}""";
    private const string GiveRing = """{"parameters":{"way":"taken","service":"cache","slot":0,"generation":1,"descriptors":["""
        + """{"name":"ring","kind":"memory","address":"/memfd:ring","origin":"sibling","index":0}]}}""";

    [Fact]
    public async Task Describe()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start(
            ("LAUNCHD_SERVICE", "web"), ("LAUNCHD_SLOT", "2"), ("LAUNCHD_GENERATION", "3"));
        Task<InstanceDescription> asked = supervisor.Client.DescribeAsync();
        await supervisor.Answer(
            """{"method":"org.launchd-cs.Instance.Describe"}""",
            """{"parameters":{"service":"web","slot":2,"generation":3,"instance":17,"reason":"restart","predecessor":16"""
            + ""","protocol":2,"version":"0.1.0"}}""");

        InstanceDescription said = await asked;

        Assert.Equal(("web", 2, 3, 17L, "restart", 16L, 2, "0.1.0"),
            (said.Service, said.Slot, said.Generation, said.Instance, said.Reason, said.Predecessor, said.Protocol, said.Version));
        Assert.Equal(("web", 2, 3), (supervisor.Client.Service, supervisor.Client.Slot, supervisor.Client.Generation));
    }

    [Fact]
    public async Task ARequestedDescriptorIsTheSameFile_AndSaysHowItCame()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        using FileDescriptor memory = FileDescriptor.CreateMemory("ring", 64);
        Task<NamedDescriptor> asked = supervisor.Client.RequestAsync("cache", "ring");
        await supervisor.Answer(AskRing, GiveRing, memory);

        using NamedDescriptor ring = await asked;

        Assert.Equal(("ring", DescriptorKind.Memory, "/memfd:ring", "taken"), (ring.Name, ring.Kind, ring.Address, ring.Way));
        Assert.True(Kernel.IsSameFile(memory.Number, ring.Descriptor.Number));
        Assert.True(Kernel.IsCloseOnExec(ring.Descriptor.Number));
    }

    [Fact]
    public async Task EveryOptionOfARequestStandsOnTheWire()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        var options = new RequestOptions { Slot = 1, Mode = RequestMode.Reopen, Access = FileAccess.Write, Wait = TimeSpan.FromSeconds(2) };
        Task<NamedDescriptor> asked = supervisor.Client.RequestAsync("cache", "ring", options);
        await supervisor.Answer(
            """{"method":"org.launchd-cs.Instance.Request","parameters":{"service":"cache","name":"ring","slot":1"""
            + ""","mode":"reopen","access":"write","wait":2000000}}""",
            """{"error":"org.launchd-cs.Instance.NotPermittedByKernel","parameters":"""
            + """{"call":"openat","errno":13,"cause":"another user"}}""");

        LaunchdException refused = await Assert.ThrowsAsync<LaunchdException>(() => asked);

        Assert.Equal((LaunchdError.NotPermittedByKernel, "another user", 13), (refused.Error, refused.Detail, refused.ErrorNumber));
    }

    [Fact]
    public async Task DirectlyTaken_ItIsComparedWithWhatWasPublished()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        using FileDescriptor memory = FileDescriptor.CreateMemory("ring", 64);
        using PidFd self = PidFd.Open(Environment.ProcessId);
        var options = new RequestOptions { Mode = RequestMode.Direct };
        ulong right = Kernel.Inode(memory.Number);
        foreach (ulong inode in (ulong[])[right, right + 1])
        {
            Task<NamedDescriptor> asked = supervisor.Client.RequestAsync("cache", "ring", options);
            await supervisor.Answer(
                """{"method":"org.launchd-cs.Instance.Request","parameters":{"service":"cache","name":"ring","mode":"direct"}}""",
                $$$"""{"parameters":{"way":"direct","number":{{{memory.Number}}},"inode":{{{inode}}}"""
                + ""","descriptors":[{"name":"ring","index":0}]}}""",
                self.Descriptor);
            if (inode == right)
                Assert.True(Kernel.IsSameFile(memory.Number, (await asked).Descriptor.Number));
            else
                Assert.Equal(LaunchdError.Stale, (await Assert.ThrowsAsync<LaunchdException>(() => asked)).Error);
        }
    }

    [Theory]
    [InlineData("NoSuchService", """{"name":"cash","hint":"cache"}""", LaunchdError.NoSuchService, "cache")]
    [InlineData("NoSuchDescriptor", """{"name":"htp","hint":"http"}""", LaunchdError.NoSuchDescriptor, "http")]
    [InlineData("Denied", """{"rule":"services.web.request = [\"cache/ring\"]"}""",
        LaunchdError.Denied, "services.web.request = [\"cache/ring\"]")]
    [InlineData("Stale", """{"name":"ring"}""", LaunchdError.Stale, "ring")]
    [InlineData("NotReady", """{"service":"cache","state":"stopped","text":"no instance"}""", LaunchdError.NotReady, "stopped")]
    [InlineData("LimitReached", """{"limit":"fd_store = 2"}""", LaunchdError.LimitReached, "fd_store = 2")]
    [InlineData("BadRequest", """{"parameter":"name","text":"no"}""", LaunchdError.BadRequest, "name")]
    [InlineData("ShuttingDown", "{}", LaunchdError.ShuttingDown, null)]
    [InlineData("FromTheFuture", "{}", LaunchdError.Other, null)]
    public async Task EveryErrorIsToldByItsName(string name, string parameters, LaunchdError error, string? detail)
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        Task<NamedDescriptor> asked = supervisor.Client.RequestAsync("cache", "ring");
        await supervisor.Answer(AskRing, $$$"""{"error":"org.launchd-cs.Instance.{{{name}}}","parameters":{{{parameters}}}}""");

        LaunchdException refused = await Assert.ThrowsAsync<LaunchdException>(() => asked);

        Assert.Equal((error, detail), (refused.Error, refused.Detail));
        Assert.StartsWith(name, refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task AMethodThatAnOlderSupervisorDoesNotKnow()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        Task asked = supervisor.Client.ReportDrainAsync(3);
        await supervisor.Answer(
            """{"method":"org.launchd-cs.Instance.DrainProgress","parameters":{"remaining":3}}""",
            """{"error":"org.varlink.service.MethodNotFound","parameters":{"method":"org.launchd-cs.Instance.DrainProgress"}}""");

        Assert.Equal(LaunchdError.NotImplemented, (await Assert.ThrowsAsync<LaunchdException>(() => asked)).Error);
    }

    [Fact]
    public async Task AListThatDoesNotFitIntoAPacket_IsOneAnswer()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        using FileDescriptor memory = FileDescriptor.CreateMemory("m", 64);
        (Socket socket, Socket peer) = DescriptorSocket.CreatePair();
        using (socket)
        using (peer)
        {
            Task<IReadOnlyList<NamedDescriptor>> asked = supervisor.Client.GetAsync(["a", "b"]);
            Assert.Equal("""{"method":"org.launchd-cs.Instance.Get","parameters":{"names":["a","b"]}}""", await supervisor.Next());
            await supervisor.Say("""{"parameters":{"descriptors":[{"name":"a","index":0}]},"continues":true}""", memory);
            // An event may come in the middle.
            await supervisor.Say("""{"parameters":{"event":"Reload"},"continues":true}""");
            await supervisor.Say(
                """{"parameters":{"descriptors":[{"name":"b","index":1},{"name":"b","index":0}]}}""", socket.SafeHandle, memory);

            IReadOnlyList<NamedDescriptor> got = await asked;

            Assert.Equal(["a", "b", "b"], got.Select(d => d.Name));
            Assert.Equal([DescriptorKind.Memory, DescriptorKind.Memory, DescriptorKind.Socket], got.Select(d => d.Kind));
        }
    }

    [Fact]
    public async Task WhatMayBeHadIsListed()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        Task<IReadOnlyList<AvailableDescriptor>> asked = supervisor.Client.ListAsync();
        await supervisor.Answer(
            """{"method":"org.launchd-cs.Instance.List"}""",
            """{"parameters":{"descriptors":[{"name":"http","kind":"tcp-listener","address":"127.0.0.1:8080","origin":"socket"},"""
            + """{"name":"ring","kind":"memory","origin":"sibling","service":"cache","slot":0}]}}""");

        IReadOnlyList<AvailableDescriptor> list = await asked;

        Assert.Equal(("http", "tcp-listener", "127.0.0.1:8080", "socket", null, null), Shown(list[0]));
        Assert.Equal(("ring", "memory", null, "sibling", "cache", 0), Shown(list[1]));

        static (string, string, string?, string, string?, int?) Shown(AvailableDescriptor d) =>
            (d.Name, d.Kind, d.Address, d.Origin, d.Service, d.Slot);
    }

    [Fact]
    public async Task ManyAtOnce_GetTheirOwnAnswers()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        Task serving = Task.Run(async () =>
        {
            for (int i = 0; i < 500; i++)
            {
                string request = await supervisor.Next();
                string name = request.Split("\"names\":[\"")[1].Split('"')[0];
                using FileDescriptor memory = FileDescriptor.CreateMemory("m", long.Parse(name));
                await supervisor.Say($$$"""{"parameters":{"descriptors":[{"name":"{{{name}}}","index":0}]}}""", memory);
            }
        });
        var atOnce = new ParallelOptions { MaxDegreeOfParallelism = 32 };
        await Parallel.ForEachAsync(Enumerable.Range(1, 500), atOnce, async (i, cancellation) =>
        {
            IReadOnlyList<NamedDescriptor> got = await supervisor.Client.GetAsync([$"{i}"], cancellation);
            using FileStream stream = Assert.Single(got).TakeStream();
            Assert.Equal(i, stream.Length);
        });
        await serving;
    }

    [Fact]
    public async Task TheAnswerToACancelledRequest_IsClosed_AndTheNextRequestGetsItsOwn()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        (Socket watched, Socket peer) = DescriptorSocket.CreatePair();
        using (peer)
        {
            using var cancelling = new CancellationTokenSource();
            Task<NamedDescriptor> asked = supervisor.Client.RequestAsync("cache", "ring", cancellation: cancelling.Token);
            Assert.Equal(AskRing, await supervisor.Next());
            await cancelling.CancelAsync();
            _ = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asked);

            Task<NamedDescriptor> next = supervisor.Client.RequestAsync("cache", "ring");
            Assert.Equal(AskRing, await supervisor.Next());
            await supervisor.Say(GiveRing, watched.SafeHandle);
            watched.Dispose();
            using FileDescriptor memory = FileDescriptor.CreateMemory("ring", 64);
            await supervisor.Say(GiveRing, memory);

            Assert.Equal(DescriptorKind.Memory, (await next).Kind);
            using DescriptorMessage end = await peer.ReceiveDescriptorsAsync(new byte[1]);
            Assert.True(end.IsEndOfStream);
        }
    }

    [Fact]
    public async Task WhenTheSupervisorGoes_AllWhoWaitAreTold_AndAllWhoCome()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        Task<NamedDescriptor> first = supervisor.Client.RequestAsync("cache", "ring");
        Task<InstanceDescription> second = supervisor.Client.DescribeAsync();
        _ = await supervisor.Next();
        _ = await supervisor.Next();
        supervisor.HangUp();

        Assert.Equal(LaunchdError.Disconnected, (await Assert.ThrowsAsync<LaunchdException>(() => first)).Error);
        Assert.Equal(LaunchdError.Disconnected, (await Assert.ThrowsAsync<LaunchdException>(() => second)).Error);
        Assert.Equal(
            LaunchdError.Disconnected, (await Assert.ThrowsAsync<LaunchdException>(() => supervisor.Client.DescribeAsync())).Error);
    }

    [Theory]
    [InlineData("not json")]
    [InlineData("[1]")]
    [InlineData("\"text\"")]
    public async Task WhatIsNoAnswer_EndsTheChannelWithAReason(string packet)
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        Task<InstanceDescription> asked = supervisor.Client.DescribeAsync();
        _ = await supervisor.Next();
        await supervisor.Say(packet);

        Assert.Equal(LaunchdError.BadAnswer, (await Assert.ThrowsAsync<LaunchdException>(() => asked)).Error);
    }

    [Theory]
    [InlineData("""{"parameters":{"descriptors":[{"name":"ring","index":1}]}}""")]
    [InlineData("""{"parameters":{"descriptors":[{"name":"ring","index":-1}]}}""")]
    [InlineData("""{"parameters":{"descriptors":[{"name":"ring"}]}}""")]
    [InlineData("""{"parameters":{"descriptors":["ring"]}}""")]
    [InlineData("""{"parameters":{}}""")]
    [InlineData("{}")]
    public async Task AnAnswerWithoutWhatItSpeaksOf_IsAnErrorOfThatRequestAlone(string packet)
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        (Socket watched, Socket peer) = DescriptorSocket.CreatePair();
        using (peer)
        {
            Task<NamedDescriptor> asked = supervisor.Client.RequestAsync("cache", "ring");
            _ = await supervisor.Next();
            await supervisor.Say(packet, watched.SafeHandle);
            watched.Dispose();

            Assert.Equal(LaunchdError.BadAnswer, (await Assert.ThrowsAsync<LaunchdException>(() => asked)).Error);
            using DescriptorMessage end = await peer.ReceiveDescriptorsAsync(new byte[1]);
            Assert.True(end.IsEndOfStream);
            Task report = supervisor.Client.ReportDrainAsync(0);
            _ = await supervisor.Next();
            await supervisor.Say(Ok);
            await report;
        }
    }

    [Fact]
    public async Task MoreThanAPacketHolds_IsRefusedHere()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        LaunchdException refused =
            await Assert.ThrowsAsync<LaunchdException>(() => supervisor.Client.RequestAsync("cache", new string('x', 70_000)));

        Assert.Equal((LaunchdError.LimitReached, "packet"), (refused.Error, refused.Detail));
    }

    [Fact]
    public async Task StoringMoreThanAPacketHolds_TakesSeveral_AndReplacesOnce()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        using FileDescriptor memory = FileDescriptor.CreateMemory("m", 64);
        Task stored = supervisor.Client.StoreAsync("clients", [.. Enumerable.Repeat<SafeHandle>(memory, 130)], StoreMode.Replace);

        foreach ((string expected, int count) in ((string, int)[])
        [
            ("""{"method":"org.launchd-cs.Instance.Store","parameters":{"name":"clients","replace":true}}""", 128),
            ("""{"method":"org.launchd-cs.Instance.Store","parameters":{"name":"clients"}}""", 2),
        ])
        {
            (string text, DescriptorMessage message) = await supervisor.NextWithDescriptors();
            Assert.Equal((expected, count), (text, message.Count));
            message.Dispose();
            await supervisor.Say("""{"parameters":{"stored":1,"present":0}}""");
        }
        await stored;

        Task removed = supervisor.Client.UnstoreAsync("clients");
        await supervisor.Answer(
            """{"method":"org.launchd-cs.Instance.Unstore","parameters":{"name":"clients"}}""", """{"parameters":{"removed":130}}""");
        await removed;
    }

    [Fact]
    public async Task AStateComesBackAsItWas_AndNobodyCanChangeItMeanwhile()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        byte[] state = new byte[100_000];
        Random.Shared.NextBytes(state);
        Task saved = supervisor.Client.SaveStateAsync(state);
        (string text, DescriptorMessage message) = await supervisor.NextWithDescriptors();
        using FileDescriptor memory = message.Take(0);
        Assert.Equal("""{"method":"org.launchd-cs.Instance.SaveState"}""", text);
        await supervisor.Say(Ok);
        await saved;
        using (var writing = new FileStream(
            new Microsoft.Win32.SafeHandles.SafeFileHandle(memory.Duplicate().ReleaseNumber(), true), FileAccess.Write, 0))
        {
            _ = Assert.ThrowsAny<Exception>(() => writing.WriteByte(0));
        }

        foreach ((string answer, SafeHandle[] with, byte[]? expected) in ((string, SafeHandle[], byte[]?)[])
        [
            ("""{"parameters":{"descriptors":[{"name":"state","index":0}]}}""", [memory], state),
            ("""{"parameters":{"descriptors":[]}}""", [], null),
        ])
        {
            Task<byte[]?> loaded = supervisor.Client.LoadStateAsync();
            await supervisor.Answer("""{"method":"org.launchd-cs.Instance.LoadState"}""", answer, with);
            Assert.Equal(expected, await loaded);
        }
    }

    [Fact]
    public async Task EveryWatcherGetsEveryEvent_InItsWords()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        Task<IAsyncEnumerable<LaunchdEvent>> first = supervisor.Client.WatchAsync();
        await supervisor.Answer(Watch, Watching);
        Task<IAsyncEnumerable<LaunchdEvent>> second = supervisor.Client.WatchAsync();
        IAsyncEnumerable<LaunchdEvent>[] watchers = [await first, await second];
        foreach (string parameters in (string[])
        [
            """{"event":"Drain","deadline_usec":1,"successor":18}""", """{"event":"Drain"}""", """{"event":"HandOver","successor":18}""",
            """{"event":"Reload"}""", """{"event":"SiblingChanged","service":"cache","state":"ready"}""", """{"event":"News"}""",
        ])
        {
            await supervisor.Say($$"""{"parameters":{{parameters}},"continues":true}""");
        }
        supervisor.HangUp();

        foreach (IAsyncEnumerable<LaunchdEvent> watcher in watchers)
        {
            List<LaunchdEvent> got = [];
            await foreach (LaunchdEvent happened in watcher)
                got.Add(happened);
            Assert.Collection(got,
                e => Assert.Equal((TimeSpan.Zero, 18L), (Assert.IsType<DrainAsked>(e).TimeLeft, ((DrainAsked)e).Successor)),
                e => Assert.Equal((null, null), (Assert.IsType<DrainAsked>(e).TimeLeft, ((DrainAsked)e).Successor)),
                e => Assert.Equal(18L, Assert.IsType<HandOverAsked>(e).Successor),
                e => Assert.IsType<ReloadAsked>(e),
                e => Assert.Equal(("cache", "ready"), (Assert.IsType<SiblingChanged>(e).Service, ((SiblingChanged)e).State)),
                e => Assert.Equal("News", Assert.IsType<OtherEvent>(e).Name));
        }
    }

    [Fact]
    public async Task AWatchThatIsRefused_IsAskedForAgain()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        Task<IAsyncEnumerable<LaunchdEvent>> first = supervisor.Client.WatchAsync();
        await supervisor.Answer(Watch, """{"error":"org.launchd-cs.Instance.ShuttingDown","parameters":{}}""");
        Assert.Equal(LaunchdError.ShuttingDown, (await Assert.ThrowsAsync<LaunchdException>(() => first)).Error);

        Task<IAsyncEnumerable<LaunchdEvent>> second = supervisor.Client.WatchAsync();
        await supervisor.Answer(Watch, Watching);
        _ = await second;
    }

    [Fact]
    public async Task WhatAPredecessorHandsOver_GoesToWhoReads_AndIsClosedIfNobodyDoes()
    {
        (Socket watched, Socket peer) = DescriptorSocket.CreatePair();
        using (peer)
        {
            await using (FakeSupervisor supervisor = FakeSupervisor.Start())
            {
                Task<IAsyncEnumerable<NamedDescriptor>> receiving = supervisor.Client.ReceiveHandOverAsync();
                await supervisor.Answer(Watch, Watching);
                await supervisor.Say(
                    """{"parameters":{"event":"Received","name":"clients","from":16,"descriptors":["""
                    + """{"name":"clients","index":0},{"name":"clients","index":1}]},"continues":true}""",
                    watched.SafeHandle, watched.SafeHandle);
                watched.Dispose();
                await foreach (NamedDescriptor one in await receiving)
                {
                    Assert.Equal(("clients", DescriptorKind.Socket), (one.Name, one.Kind));
                    one.Dispose();
                    break;
                }
            }
            using DescriptorMessage end = await peer.ReceiveDescriptorsAsync(new byte[1]);
            Assert.True(end.IsEndOfStream);
        }
    }

    [Fact]
    public async Task HandingOverSendsThemInOrder()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        using FileDescriptor memory = FileDescriptor.CreateMemory("m", 64);
        Task handing = supervisor.Client.HandOverAsync("clients", [memory, memory]);
        (string text, DescriptorMessage message) = await supervisor.NextWithDescriptors();
        Assert.Equal(("""{"method":"org.launchd-cs.Instance.HandOver","parameters":{"name":"clients"}}""", 2), (text, message.Count));
        message.Dispose();
        await supervisor.Say("""{"error":"org.launchd-cs.Instance.NotReady","parameters":{"text":"there is no successor"}}""");

        Assert.Equal(LaunchdError.NotReady, (await Assert.ThrowsAsync<LaunchdException>(() => handing)).Error);
    }

    [Fact]
    public async Task WhatWasPublished_IsGivenWhenTheSupervisorCannotTakeIt_AndNothingElse()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        using FileDescriptor memory = FileDescriptor.CreateMemory("ring", 64);
        Task published = supervisor.Client.PublishAsync("ring", memory);
        await supervisor.Answer(Watch, Watching);
        await supervisor.Answer(
            $$$"""{"method":"org.launchd-cs.Instance.Publish","parameters":{"name":"ring","number":{{{memory.Number}}}}}""", Ok);
        await published;

        foreach ((int ask, string name, int number, int count) in ((int, string, int, int)[])
            [(1, "ring", memory.Number, 1), (2, "ring", memory.Number + 1, 0), (3, "rang", memory.Number, 0)])
        {
            await supervisor.Say(
                $$"""{"parameters":{"event":"Wanted","ask":{{ask}},"name":"{{name}}","number":{{number}},"service":"web"}"""
                + ""","continues":true}""");
            (string text, DescriptorMessage message) = await supervisor.NextWithDescriptors();
            Assert.Equal(($$$"""{"method":"org.launchd-cs.Instance.Give","parameters":{"ask":{{{ask}}}},"oneway":true}""", count),
                (text, message.Count));
            message.Dispose();
        }

        Task unpublished = supervisor.Client.UnpublishAsync("ring");
        await supervisor.Answer("""{"method":"org.launchd-cs.Instance.Unpublish","parameters":{"name":"ring"}}""", Ok);
        await unpublished;
        await supervisor.Say(
            $$"""{"parameters":{"event":"Wanted","ask":4,"name":"ring","number":{{memory.Number}},"service":"web"},"continues":true}""");
        (_, DescriptorMessage refused) = await supervisor.NextWithDescriptors();
        Assert.Equal(0, refused.Count);
    }

    [Fact]
    public async Task AfterDisposal_EverybodyIsTold()
    {
        FakeSupervisor supervisor = FakeSupervisor.Start();
        Task<InstanceDescription> asked = supervisor.Client.DescribeAsync();
        _ = await supervisor.Next();
        await supervisor.Client.DisposeAsync().AsTask().WaitAsync(Deadline.Generous);

        Assert.Equal(LaunchdError.Disconnected, (await Assert.ThrowsAsync<LaunchdException>(() => asked)).Error);
        Assert.Equal(
            LaunchdError.Disconnected, (await Assert.ThrowsAsync<LaunchdException>(() => supervisor.Client.DescribeAsync())).Error);
        await supervisor.DisposeAsync();
    }
}
