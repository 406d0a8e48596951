using System.Globalization;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Interop;
using Launchd.Linux.Sockets;
using Launchd.Linux.Terminals;
using Launchd.Logs;
using Xunit;

namespace Launchd.IntegrationTests.Logs;

/// <summary>The terminal of a service, between a program (the test has its end) and operators who look at it.</summary>
public sealed class TerminalPumpTests : IDisposable
{
    private const long Instance = 1;

    private readonly PumpHarness _harness = new();
    private readonly FileDescriptor _program;

    public TerminalPumpTests()
    {
        PseudoTerminal terminal = PseudoTerminal.Open(owner: null).Value;
        _program = PumpCalls.Duplicate(terminal.Slave.Number, out _)!;
        AddTerminal(Instance, terminal);
    }

    [Fact]
    public void AViewerSeesTheLastLines_ThenWhatComes_AndIsToldOfTheEnd_AndTheLogHasItAll()
    {
        PumpHarness.Write(_program, "one\ntwo\n");
        _harness.Flush(Instance);
        using FileDescriptor viewer = Attach();

        Assert.Equal("one\r\ntwo\r\n", ReadOutput(viewer, "two\r\n"));
        PumpHarness.Write(_program, "three\nfour");
        Assert.Equal("three\r\nfour", ReadOutput(viewer, "four"));
        _harness.Pump.Close(Instance);
        _harness.RunUntil(() => _harness.Ended.Count == 1);

        Assert.Equal("e", Next(viewer));
        Assert.Null(Next(viewer));
        Assert.Equal(["one", "two", "three", "four"], _harness.Tail());
        Assert.Empty(_harness.Notices);
        Assert.Null(TryAttach(mayType: true, isOwner: true, out _));
    }

    [Fact]
    public void OfALongPastItsLastLinesAreShown_FromTheBeginningOfALine()
    {
        for (int i = 0; i < 1000; i++)
            PumpHarness.Write(_program, $"line {i:D4}\n");
        _harness.Flush(Instance);
        using FileDescriptor viewer = Attach();

        string shown = ReadOutput(viewer, "line 0999\r\n");

        Assert.StartsWith("line 0", shown, StringComparison.Ordinal);
        Assert.InRange(shown.Length, ServiceTerminal.ShownBytes - 11, ServiceTerminal.ShownBytes);
    }

    [Fact]
    public void WhatIsTypedReachesTheProgram_AndTheTerminalIsAsLargeAsTheLastViewerSays()
    {
        using FileDescriptor first = Attach(size: (100, 30));
        Assert.Equal((100, 30), RawMode.SizeOf(_program.Number));
        using FileDescriptor second = Attach();

        Send(first, "w132 43");
        Send(first, "ihello ");
        Send(first, "iworld\n");

        Assert.Equal("hello world\n", Typed(_program, 12));
        Assert.Equal((132, 43), RawMode.SizeOf(_program.Number));
        Assert.Equal("hello world\r\n", ReadOutput(first, "\n"));
        Assert.Equal("hello world\r\n", ReadOutput(second, "\n"));
    }

    [Fact]
    public void ViewersThatDoNotReadKeepNobodyWaiting_AndAreToldHowMuchTheyMissed()
    {
        const int Length = 2 << 20;
        using RawMode raw = RawMode.TryEnter(_program.Number)!;
        using FileDescriptor first = Attach(), second = Attach(mayType: false);

        PumpHarness.Write(_program, Encoding.ASCII.GetBytes(new string('x', Length - 3) + "end"));
        _harness.Flush(Instance);

        foreach (FileDescriptor viewer in (FileDescriptor[])[first, second])
        {
            long seen = 0, lost = 0;
            string last = "";
            while (seen + lost < Length)
            {
                string packet = Next(viewer)!;
                last = packet[1..];
                seen += packet[0] == 'o' ? last.Length : 0;
                lost += packet[0] == 'l' ? long.Parse(last, CultureInfo.InvariantCulture) : 0;
            }
            Assert.Equal(Length, seen + lost);
            Assert.InRange(lost, 1, Length);
            Assert.EndsWith("end", last, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void WhereTheProgramDoesNotRead_TheViewerWaits_AndNothingIsLost()
    {
        using RawMode raw = RawMode.TryEnter(_program.Number)!;
        using FileDescriptor viewer = Attach();
        string text = "i" + new string('y', ServiceTerminal.PacketBytes);
        int sent = 0;
        // It has come to stay when the pump has had its turn, and the socket still takes nothing.
        for (int refused = 0; refused < 3;)
        {
            bool isSent = UnixSocket.Send(viewer, Encoding.ASCII.GetBytes(text)).Outcome == SendOutcome.Sent;
            (sent, refused) = isSent ? (sent + 1, 0) : (sent, refused + 1);
            Assert.InRange(sent, 0, 1000);
            _harness.Settle();
        }

        Assert.Equal(sent * ServiceTerminal.PacketBytes, Typed(_program, sent * ServiceTerminal.PacketBytes).Length);
        Send(viewer, "iand goes on");
        Assert.Equal("and goes on", Typed(_program, 11));
    }

    [Fact]
    public void WhatWasTypedBeforeAViewerLeft_ReachesTheProgram_ThoughItHadNotReadAllThatItWasShown()
    {
        FileDescriptor viewer = Attach();
        PumpHarness.Write(_program, "unread\n");
        _harness.Flush(Instance);
        using (ManualResetEventSlim isToGoOn = new())
        {
            _harness.Pump.Enqueue(() => isToGoOn.Wait());
            Send(viewer, "ihello\n");
            for (int i = 0; i < 20; i++)
                Send(viewer, "iagain\n");
            viewer.Dispose();
            isToGoOn.Set();
            _harness.Settle();
        }

        Assert.Equal("hello\n" + string.Concat(Enumerable.Repeat("again\n", 20)), Typed(_program, 6 * 21));
    }

    [Fact]
    public void APumpThatHasStoppedAnswersAll_AndKeepsNoSocket()
    {
        _harness.Pump.Stop(TimeSpan.FromSeconds(10));

        Assert.Null(TryAttach(mayType: true, isOwner: true, out FileDescriptor viewer));
        using (viewer)
            Assert.Null(Next(viewer));
    }

    [Fact]
    public void WhatATerminalHasAnswered_IsNotLeftForTheShell()
    {
        using PseudoTerminal terminal = PseudoTerminal.Open(owner: null).Value;
        using RawMode raw = RawMode.TryEnter(terminal.Slave.Number)!;
        PumpHarness.Write(terminal.Master, "answer\n");
        Await(terminal.Slave);
        raw.Leave();
        Assert.Equal(7, PumpCalls.ReadableBytes(terminal.Slave.Number));

        raw.LeaveAndDiscard();
        Assert.Equal(0, PumpCalls.ReadableBytes(terminal.Slave.Number));
    }

    [Fact]
    public void OneThatMayOnlyLookCanSendNothing()
    {
        using FileDescriptor viewer = Attach(mayType: false, size: (100, 30));

        Assert.Equal(SendOutcome.PeerGone, UnixSocket.Send(viewer, "ihello\n"u8).Outcome);
        Assert.Equal((80, 24), RawMode.SizeOf(_program.Number));
        PumpHarness.Write(_program, "seen\n");
        Assert.Equal("seen\r\n", ReadOutput(viewer, "\n"));
    }

    [Fact]
    public void StrangersMakeRoomForRootAndTheOwnUser()
    {
        FileDescriptor[] strangers =
            [.. Enumerable.Range(0, ServiceTerminal.MostViewers).Select(_ => Attach(mayType: false, isOwner: false))];

        Assert.False(TryAttach(mayType: false, isOwner: false, out _));
        using FileDescriptor owner = Attach();

        Assert.Null(Next(strangers[0]));
        PumpHarness.Write(_program, "seen\n");
        Assert.Equal("seen\r\n", ReadOutput(owner, "\n"));
        foreach (FileDescriptor stranger in strangers)
            stranger.Dispose();
    }

    [Fact]
    public void StrangersHaveSoManyPlacesOverAll_WhichTheyGiveBack()
    {
        const int Terminals = (ViewerPlaces.MostStrangers / ServiceTerminal.MostViewers) + 1;
        for (long instance = Instance + 1; instance <= Terminals; instance++)
            AddTerminal(instance, PseudoTerminal.Open(owner: null).Value);
        List<FileDescriptor> viewers = [];
        for (int i = 0; i < ViewerPlaces.MostStrangers; i++)
            Assert.True(Look(1 + (i / ServiceTerminal.MostViewers), isOwner: false));

        Assert.False(Look(Terminals, isOwner: false));
        Assert.True(Look(Terminals, isOwner: true));
        _harness.Pump.Close(1);
        Assert.True(Look(Terminals, isOwner: false));
        viewers.ForEach(v => v.Dispose());

        bool? Look(long instance, bool isOwner)
        {
            bool? outcome = TryAttach(mayType: false, isOwner, out FileDescriptor viewer, instance: instance);
            viewers.Add(viewer);
            return outcome;
        }
    }

    [Theory]
    [InlineData("x")]
    [InlineData("w80")]
    [InlineData("w80 24 ")]
    public void WhoeverSendsNonsenseIsCutOff_AndNobodyElse(string packet)
    {
        using FileDescriptor viewer = Attach(), other = Attach();

        Send(viewer, packet);

        Assert.Null(Next(viewer));
        Send(other, "w0 99999");
        Send(other, "iok\n");
        Assert.Equal("ok\n", Typed(_program, 3));
        Assert.Equal((80, 24), RawMode.SizeOf(_program.Number));
    }

    public void Dispose()
    {
        _program.Dispose();
        _harness.Dispose();
    }

    private void AddTerminal(long instance, PseudoTerminal terminalTaken)
    {
        OutputSource source = new() { InstanceId = instance, Service = "web", Slot = 0, Stream = "output" };
        _harness.Pump.AddTerminal(source, terminalTaken.Master, terminalTaken.Slave);
    }

    private FileDescriptor Attach(bool mayType = true, bool isOwner = true, (int, int)? size = null)
    {
        Assert.True(TryAttach(mayType, isOwner, out FileDescriptor viewer, size));
        return viewer;
    }

    private bool? TryAttach(bool mayType, bool isOwner, out FileDescriptor viewer, (int, int)? size = null, long instance = Instance)
    {
        Assert.True(ChannelPair.TryOpen(out FileDescriptor ours, out viewer, out _));
        bool? outcome = null;
        bool isAnswered = false;
        _harness.Pump.Attach(instance, ours, new TerminalView(mayType, isOwner, size), answer => (outcome, isAnswered) = (answer, true));
        _harness.RunUntil(() => isAnswered);
        return outcome;
    }

    private static void Send(FileDescriptor viewer, string packet) =>
        Assert.Equal(SendOutcome.Sent, UnixSocket.Send(viewer, Encoding.ASCII.GetBytes(packet)).Outcome);

    /// <summary>The next packet; null: the connection has ended.</summary>
    private static string? Next(FileDescriptor viewer)
    {
        byte[] buffer = new byte[1 + ServiceTerminal.PacketBytes];
        Await(viewer);
        using Received received = UnixSocket.Receive(viewer, buffer);
        return received.Outcome == ReceiveOutcome.Message && received.Length > 0
            ? Encoding.ASCII.GetString(buffer, 0, received.Length) : null;
    }

    private static string ReadOutput(FileDescriptor viewer, string upTo)
    {
        StringBuilder text = new();
        while (!text.ToString().EndsWith(upTo, StringComparison.Ordinal))
        {
            string? packet = Next(viewer);
            Assert.Equal('o', packet?[0]);
            text.Append(packet.AsSpan(1));
        }
        return text.ToString();
    }

    /// <summary>What the program reads, once it is so much.</summary>
    private static string Typed(FileDescriptor program, int length)
    {
        StringBuilder text = new();
        byte[] buffer = new byte[4096];
        while (text.Length < length)
        {
            Await(program);
            int count = PumpCalls.Read(program.Number, buffer, out _);
            Assert.InRange(count, 1, buffer.Length);
            text.Append(Encoding.ASCII.GetString(buffer, 0, count));
        }
        return text.ToString();
    }

    private static void Await(FileDescriptor descriptor) =>
        Assert.NotEqual(0, Polling.Await(descriptor.Number, Libc.POLLIN, Deadline.Generous));
}
