using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Launchd.Client.Tests.Support;
using Xunit;

namespace Launchd.Client.Tests;

/// <summary>
/// Everything or nothing: whoever dies, loses patience or changes its mind, exactly one of two instances has what is handed over.
/// </summary>
public sealed class HandOverTests
{
    private const string Ok = """{"parameters":{}}""";
    private const string Watch = """{"method":"org.launchd-cs.Instance.Watch","more":true}""";
    private const string Watching = """{"parameters":{},"continues":true}""";
    private const string Describe = """{"method":"org.launchd-cs.Instance.Describe"}""";
    private const string Alone = """{"parameters":{"service":"web","instance":1}}""";
    private const string Second = """{"parameters":{"service":"web","instance":2,"predecessor":1}}""";
    private const string Offering = """{"method":"org.launchd-cs.Instance.HandOver","parameters":{"name":"org.launchd-cs.HandOver"}}""";
    private const string NobodyThere = """{"error":"org.launchd-cs.Instance.NotReady","parameters":{"text":"there is no successor"}}""";
    private const string Drain = """{"parameters":{"event":"Drain","successor":2},"continues":true}""";
    private const string DrainAlone = """{"parameters":{"event":"Drain"},"continues":true}""";
    private const string Ended = """{"parameters":{"event":"PredecessorEnded","predecessor":1},"continues":true}""";

    [Fact]
    public async Task StateAndDescriptorsArriveWholeAndInOrder()
    {
        await using Pair pair = await Pair.Meet();
        FileDescriptor[] sent = [.. Enumerable.Range(0, 300).Select(i => FileDescriptor.CreateMemory($"m{i}", i))];
        byte[] state = new byte[200_000];
        Random.Shared.NextBytes(state);

        Task<bool> completing = pair.HandOver.CompleteAsync(state, sent);
        using TakeOver taken = (await pair.TakingOver)!;

        Assert.True(taken.IsComplete);
        Assert.Equal(state, taken.State);
        Assert.Equal(300, taken.Descriptors.Count);
        for (int i = 0; i < sent.Length; i++)
            Assert.True(Kernel.IsSameFile(sent[i].Number, taken.Descriptors[i].Descriptor.Number));
        Assert.False(completing.IsCompleted);
        await taken.ConfirmAsync();
        await taken.ConfirmAsync();
        Assert.True(await completing);
        foreach (FileDescriptor one in sent)
            one.Dispose();
    }

    [Fact]
    public async Task ASuccessorThatEndsBeforeItHasConfirmed_HasNothing()
    {
        await using Pair pair = await Pair.Meet();
        using FileDescriptor memory = FileDescriptor.CreateMemory("m", 1);
        Task<bool> completing = pair.HandOver.CompleteAsync(new byte[1], [memory]);

        (await pair.TakingOver)!.Dispose();

        Assert.False(await completing);
    }

    [Fact]
    public async Task WhoLosesPatience_KeepsEverything_AndMayTryAgain()
    {
        await using Pair pair = await Pair.Meet();
        using FileDescriptor memory = FileDescriptor.CreateMemory("m", 1);
        // Long enough for all to arrive, however busy the machine is: otherwise the successor would wait for another attempt.
        Task<bool> completing = pair.HandOver.CompleteAsync(new byte[1], [memory], TimeSpan.FromSeconds(3));
        using TakeOver taken = (await pair.TakingOver.WaitAsync(Deadline.Generous))!;

        Assert.False(await completing);

        LaunchdException late = await Assert.ThrowsAsync<LaunchdException>(() => taken.ConfirmAsync());
        Assert.Equal(LaunchdError.TakenBack, late.Error);

        Task<HandOver?> again = pair.Old.Client.BeginHandOverAsync();
        await pair.Old.Answer(Describe, Alone);
        await pair.Offer();
        Task<TakeOver?> takingOver = pair.New.Client.TakeOverAsync();
        await pair.New.Answer(Describe, Second);
        completing = (await again)!.CompleteAsync("state"u8.ToArray(), []);
        using TakeOver second = (await takingOver)!;
        await second.ConfirmAsync();
        Assert.True(await completing);
    }

    [Fact]
    public async Task AConfirmationAndALossOfPatienceAtTheSameTime_LeaveOneOwner()
    {
        int taken = 0;
        for (int round = 0; round < 100; round++)
        {
            await using Pair pair = await Pair.Meet();
            using var losing = new CancellationTokenSource();
            Task<bool> completing = pair.HandOver.CompleteAsync(new byte[1], [], cancellation: losing.Token);
            using TakeOver all = (await pair.TakingOver)!;
            using var start = new Barrier(2);
            Task confirming = Task.Run(() =>
            {
                start.SignalAndWait();
                return all.ConfirmAsync();
            });
            start.SignalAndWait();
            losing.Cancel();

            bool isSuccessors = await Succeeds(confirming);
            bool isGone = await Succeeds(completing) && await completing;
            Assert.Equal(isSuccessors, isGone);
            taken += isGone ? 1 : 0;
        }
        Assert.InRange(taken, 0, 100);

        static async Task<bool> Succeeds(Task task)
        {
            await ((Task)task.ContinueWith(_ => { }, TaskScheduler.Default)).WaitAsync(Deadline.Generous);
            Assert.True(
                task.Exception?.InnerException is null or LaunchdException { Error: LaunchdError.TakenBack }, task.Exception?.ToString());
            return task.IsCompletedSuccessfully;
        }
    }

    [Fact]
    public async Task APredecessorThatDiesInTheMiddle_LeavesWhatHasCome()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        (Task<TakeOver?> taking, Socket predecessor) = await TakeOverFrom(supervisor);
        using FileDescriptor state = FileDescriptor.CreateMemory("state", 3), memory = FileDescriptor.CreateMemory("m", 1);
        await SaySome(predecessor, "state", state);
        await SaySome(predecessor, "some", memory, memory);
        Assert.Equal("next", await Word(predecessor));
        predecessor.Dispose();

        using TakeOver taken = (await taking)!;

        Assert.False(taken.IsComplete);
        Assert.Equal((3, 2), (taken.State.Length, taken.Descriptors.Count));
        await taken.ConfirmAsync();
    }

    [Fact]
    public async Task APredecessorThatChangesItsMind_OrDiesBeforeTheState_LeavesNothing()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        (Task<TakeOver?> taking, Socket first) = await TakeOverFrom(supervisor);
        (Socket watched, Socket peer) = DescriptorSocket.CreatePair();
        using FileDescriptor state = FileDescriptor.CreateMemory("state", 3);
        await SaySome(first, "state", state);
        await SaySome(first, "some", watched.SafeHandle);
        watched.Dispose();
        Assert.Equal("next", await Word(first));
        await first.SendDescriptorsAsync("kept"u8.ToArray(), []);
        first.Dispose();
        using (peer)
        using (DescriptorMessage end = await peer.ReceiveDescriptorsAsync(new byte[1]))
            Assert.True(end.IsEndOfStream);

        Socket second = await Offer(supervisor);
        Assert.Equal("next", await Word(second));
        second.Dispose();
        await supervisor.Say(Ended);

        Assert.Null(await taking);
    }

    [Fact]
    public async Task WithoutAPredecessorThereIsNothing_ButWhatWasOfferedBeforeItEnded()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        Task<TakeOver?> taking = supervisor.Client.TakeOverAsync();
        await supervisor.Answer(Watch, Watching);
        await supervisor.Answer(Describe, Alone);
        Assert.Null(await taking);

        await using FakeSupervisor late = FakeSupervisor.Start();
        taking = late.Client.TakeOverAsync();
        await late.Answer(Watch, Watching);
        Socket predecessor = await Offer(late);
        await late.Answer(Describe, Alone);
        using FileDescriptor state = FileDescriptor.CreateMemory("state", 3);
        await SaySome(predecessor, "state", state);
        await SaySome(predecessor, "all");
        predecessor.Dispose();
        using TakeOver taken = (await taking)!;
        Assert.True(taken.IsComplete);
        await taken.ConfirmAsync();
    }

    [Fact]
    public async Task WithoutAChannelNobodyIsBefore_AndNobodyAfter()
    {
        await using var client = new LaunchdClient([], null, _ => null);

        Assert.Null(await client.TakeOverAsync());
        Assert.Null(await client.BeginHandOverAsync());
    }

    [Fact]
    public async Task WhenTheServiceStops_NothingIsOffered()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        Task<HandOver?> beginning = supervisor.Client.BeginHandOverAsync();
        await supervisor.Answer(Watch, Watching);
        Assert.Equal(Describe, await supervisor.Next());
        await supervisor.Say(DrainAlone);
        await supervisor.Say(Alone);

        Assert.Null(await beginning);
    }

    [Fact]
    public async Task WithoutADrain_ASuccessorThatIsNotThere_WillNotCome()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        Task<HandOver?> beginning = supervisor.Client.BeginHandOverAsync();
        await supervisor.Answer(Watch, Watching);
        await supervisor.Answer(Describe, Alone);
        await supervisor.Answer(Offering, NobodyThere);

        Assert.Null(await beginning);
    }

    [Fact]
    public async Task ASuccessorThatDies_IsFollowedByTheNext_UntilNoneWillCome()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        Task<HandOver?> beginning = supervisor.Client.BeginHandOverAsync();
        await supervisor.Answer(Watch, Watching);
        Assert.Equal(Describe, await supervisor.Next());
        await supervisor.Say(Drain);
        await supervisor.Say(Alone);
        // The first dies without a word, the second is gone before it is asked for, the third never asks.
        (await Offered(supervisor)).Dispose();
        await supervisor.Say("""{"parameters":{"event":"HandOver","successor":3},"continues":true}""");
        await supervisor.Answer(Offering, NobodyThere);
        await supervisor.Say("""{"parameters":{"event":"HandOver","successor":4},"continues":true}""");
        using Socket deaf = await Offered(supervisor);
        Assert.False(beginning.IsCompleted);
        await supervisor.Say(DrainAlone);

        Assert.Null(await beginning);
        Assert.Equal("kept", await Word(deaf));
    }

    [Fact]
    public async Task TheEndOfTheChannelIsTold()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        Task<TakeOver?> taking = supervisor.Client.TakeOverAsync();
        await supervisor.Answer(Watch, Watching);
        await supervisor.Answer(Describe, Second);
        supervisor.HangUp();

        Assert.Equal(LaunchdError.Disconnected, (await Assert.ThrowsAsync<LaunchdException>(() => taking)).Error);
    }

    [Fact]
    public async Task ACancelledTakeOver_GivesTheOfferBack()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        using var cancelling = new CancellationTokenSource();
        Task<TakeOver?> taking = supervisor.Client.TakeOverAsync(cancelling.Token);
        await supervisor.Answer(Watch, Watching);
        await supervisor.Answer(Describe, Second);
        using Socket predecessor = await Offer(supervisor);
        Assert.Equal("next", await Word(predecessor));

        await cancelling.CancelAsync();

        _ = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => taking);
        Assert.Equal("", await Word(predecessor));
    }

    [Fact]
    public async Task PlainDescriptorsStillGoToTheirReader_WhichEndsWithThePredecessor()
    {
        await using FakeSupervisor supervisor = FakeSupervisor.Start();
        using FileDescriptor memory = FileDescriptor.CreateMemory("m", 1);
        Task<IAsyncEnumerable<NamedDescriptor>> receiving = supervisor.Client.ReceiveHandOverAsync();
        await supervisor.Answer(Watch, Watching);
        await supervisor.Say(Received("clients"), memory);
        await supervisor.Say(Ended);

        List<string> names = [];
        await foreach (NamedDescriptor one in await receiving)
        {
            names.Add(one.Name);
            one.Dispose();
        }
        Assert.Equal(["clients"], names);
    }

    private static string Received(string name) =>
        $$"""{"parameters":{"event":"Received","name":"{{name}}","from":1,"descriptors":[{"name":"{{name}}","index":0}]}"""
        + ""","continues":true}""";

    private static async Task<(Task<TakeOver?> Taking, Socket Predecessor)> TakeOverFrom(FakeSupervisor supervisor)
    {
        Task<TakeOver?> taking = supervisor.Client.TakeOverAsync();
        await supervisor.Answer(Watch, Watching);
        await supervisor.Answer(Describe, Second);
        return (taking, await Offer(supervisor));
    }

    /// <summary>Offers a hand-over as a predecessor would, which the test plays.</summary>
    private static async Task<Socket> Offer(FakeSupervisor supervisor)
    {
        (Socket ours, Socket theirs) = DescriptorSocket.CreatePair();
        using (theirs)
            await supervisor.Say(Received("org.launchd-cs.HandOver"), theirs.SafeHandle);
        return ours;
    }

    /// <summary>What the client offers to a successor, which the test plays.</summary>
    private static async Task<Socket> Offered(FakeSupervisor supervisor)
    {
        (string text, DescriptorMessage message) = await supervisor.NextWithDescriptors();
        using (message)
        {
            Assert.Equal((Offering, 1), (text, message.Count));
            await supervisor.Say(Ok);
            return new Socket(new SafeSocketHandle(message.Take(0).ReleaseNumber(), ownsHandle: true));
        }
    }

    private static async Task SaySome(Socket predecessor, string word, params SafeHandle[] descriptors)
    {
        Assert.Equal("next", await Word(predecessor));
        await predecessor.SendDescriptorsAsync(Encoding.ASCII.GetBytes(word), descriptors);
    }

    private static async Task<string> Word(Socket end)
    {
        using CancellationTokenSource deadline = new(Deadline.Generous);
        byte[] buffer = new byte[16];
        using DescriptorMessage message = await end.ReceiveDescriptorsAsync(buffer, cancellation: deadline.Token);
        return Encoding.ASCII.GetString(buffer, 0, message.Length);
    }

    /// <summary>Two instances, between which the test plays the supervisor.</summary>
    private sealed class Pair : IAsyncDisposable
    {
        public required FakeSupervisor Old { get; init; }
        public required FakeSupervisor New { get; init; }
        public required Task<TakeOver?> TakingOver { get; init; }
        public HandOver HandOver { get; private set; } = null!;

        /// <summary>Both are there: the one waits to take over, the other has found it.</summary>
        public static async Task<Pair> Meet()
        {
            FakeSupervisor old = FakeSupervisor.Start(), next = FakeSupervisor.Start();
            Pair pair = new() { Old = old, New = next, TakingOver = next.Client.TakeOverAsync() };
            await next.Answer(Watch, Watching);
            await next.Answer(Describe, Second);
            Task<HandOver?> beginning = old.Client.BeginHandOverAsync();
            await old.Answer(Watch, Watching);
            await old.Answer(Describe, Alone);
            await pair.Offer();
            pair.HandOver = (await beginning)!;
            return pair;
        }

        /// <summary>Carries what the old one offers to the new one.</summary>
        public async Task Offer()
        {
            (string text, DescriptorMessage message) = await Old.NextWithDescriptors();
            using (message)
            {
                Assert.Equal((Offering, 1), (text, message.Count));
                using FileDescriptor link = message.Take(0);
                await New.Say(Received("org.launchd-cs.HandOver"), link);
            }
            await Old.Say(Ok);
        }

        public async ValueTask DisposeAsync()
        {
            HandOver.Dispose();
            await Old.DisposeAsync();
            await New.DisposeAsync();
        }
    }
}
