using Launchd.Host.Instances;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Host;

/// <summary>What is said of an instance that is not ready in time, or ends early.</summary>
public sealed class ClueTests
{
    private static readonly (int, string) Main = (100, "sh");
    private static readonly (string, int)[] Held = [("tcp://127.0.0.1:8080", 3), ("tcp://127.0.0.1:80", 4), ("unix:/run/web.sock", 5)];

    [Fact]
    public void AReadyOfAChild_NamesIt_AndTheKeyThatLetsItSpeak()
    {
        string clue = ClueTexts.OfNotification(NotifyAccess.Main, Main, new Unheard(101, "python3", 0, "READY=1"), said: null);
        Assert.Equal(
            "READY=1 came from process 101 (python3), which is not the main process 100 (sh): "
            + "write notify_access = \"all\", or have the main process exec the program", clue);
    }

    [Theory]
    [InlineData("None", "notify_access = \"none\" hears nobody")]
    [InlineData("All", "of user 7, which is no process of this service")]
    public void WhoMaySpeak_DecidesWhatIsSaid(string access, string expected) => Assert.Contains(
        expected, ClueTexts.OfNotification(Enum.Parse<NotifyAccess>(access), Main, new Unheard(101, "sender", 7, "READY=1"), null));

    [Theory]
    [InlineData(null, "nothing came to NOTIFY_SOCKET")]
    [InlineData("STATUS=loading", "it said STATUS=loading, but not READY=1")]
    [InlineData("READY=true", "it said READY=true, and only READY=1 counts")]
    public void WithoutAReady_TheLastWordIsTold(string? said, string expected) =>
        Assert.StartsWith(expected, ClueTexts.OfNotification(NotifyAccess.Main, Main, unheard: null, said));

    [Fact]
    public void WhatIsNoNotification_IsTold() => Assert.Contains(
        "KEY=VALUE", ClueTexts.OfNotification(NotifyAccess.Main, Main, new Unheard(101, "sender", 0, Line: null), said: null));

    [Theory]
    [InlineData(false, "it has written nothing: many programs keep their output back")]
    [InlineData(true, "it has written nothing to its terminal")]
    public void OutputThatDoesNotCome_IsExplained(bool isToTerminal, string expected) =>
        Assert.StartsWith(expected, ClueTexts.OfOutput("ready", [], isToTerminal), StringComparison.Ordinal);

    [Theory]
    [InlineData("Listening on port", "listening at port 80", "nearest")]
    [InlineData("^started$", "bye", "last")]
    public void TheNearestLine_IsShown(string pattern, string line, string which) => Assert.Equal(
        $"no line matches '{pattern}'; the {which} of those that it has written is '{line}'",
        ClueTexts.OfOutput(pattern, ["hello", "listening at port 80", "bye"]));

    [Fact]
    public void ALongLine_IsCut() => Assert.True(ClueTexts.OfOutput("x", [new string('x', 10_000)]).Length < 400);

    [Theory]
    [InlineData("OSError: [Errno 98] Address already in use", "tcp://127.0.0.1:8080 is held for it and was given to it as descriptor 3")]
    [InlineData("Error: listen EADDRINUSE: address already in use 127.0.0.1:80",
        "tcp://127.0.0.1:80 is held for it and was given to it as descriptor 4")]
    [InlineData("bind /run/web.sock: address in use", "unix:/run/web.sock is held for it and was given to it as descriptor 5")]
    public void APortThatIsHeldForIt_IsNamed(string line, string expected) =>
        Assert.Contains(expected, ClueTexts.OfAddressInUse(["Traceback", line, "bye"], Held));

    [Fact]
    public void WhereNothingIsHeld_OrNothingIsSaid_NothingIsTold()
    {
        Assert.Null(ClueTexts.OfAddressInUse(["Address already in use"], []));
        Assert.Null(ClueTexts.OfAddressInUse(["all is well"], Held));
    }
}
