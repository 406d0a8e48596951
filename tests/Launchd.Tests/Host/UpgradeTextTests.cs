using Launchd.Host.Keeping;
using Launchd.Host.Upgrading;
using Launchd.Keeper;
using Xunit;

namespace Launchd.Tests.Host;

/// <summary>What an operator is told of an upgrade that did not come about.</summary>
public sealed class UpgradeTextTests
{
    [Theory]
    [InlineData(TrialOutcome.Proved, 0, "0.2.0", null)]
    [InlineData(TrialOutcome.Refuses, 0, "it is of layout 2", "it cannot go on where this supervisor is: it is of layout 2")]
    [InlineData(TrialOutcome.NotExecuted, 26, "", "it is being written: try again when its copy is complete")]
    [InlineData(TrialOutcome.Exited, 1, "",
        "it ended with code 1 and did not prove that it could go on: is it a launchd-cs with 'upgrade'?")]
    [InlineData(TrialOutcome.Killed, 11, "", "it was killed by SIGSEGV before it had proved that it could go on")]
    [InlineData(TrialOutcome.TooLate, 10, "", "it did not prove within 10 s that it could go on")]
    [InlineData((TrialOutcome)77, 0, "", "the keeper says something about it that this supervisor does not know")]
    internal void ATrialSaysWhyNot(TrialOutcome outcome, int number, string text, string? why) =>
        Assert.Equal(why, new Trial(outcome, number, text).WhyNot);

    [Fact]
    public void TheSupervisorThatGoesOnKnowsWhetherItIsTheNewOne()
    {
        KeeperHistory history = new() { LastPid = 7, LastCode = 3 };

        Assert.Null(UpgradeEnd.Of(history, "0.1.0", isAwaited: false));
        Assert.Equal("the supervisor ended with code 3 when it was about to hand over, and was started anew",
            UpgradeEnd.Of(history, "0.1.0", isAwaited: true)!.WhyBack);
        history.Upgrade = (int)KeeperUpgradeState.Upgraded;
        Assert.Null(UpgradeEnd.Of(history, "0.1.0", isAwaited: false)!.WhyBack);
        history.Upgrade = (int)KeeperUpgradeState.WentBack;
        Assert.Contains("its supervisor ended with code 3 before it served", UpgradeEnd.Of(history, null, isAwaited: true)!.WhyBack!,
            StringComparison.Ordinal);
        history.LastPid = 0;
        Assert.Contains("its supervisor could not be started", UpgradeEnd.Of(history, null, isAwaited: true)!.WhyBack!,
            StringComparison.Ordinal);
    }
}
