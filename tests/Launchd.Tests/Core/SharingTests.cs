using Launchd.Core;
using Launchd.Core.Sharing;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Core;

/// <summary>Who may have whose descriptors, who waits for which, and which of several is asked.</summary>
public sealed class SharingTests
{
    private static readonly InstanceId Web = Id("web", 1), First = Id("cache", 2), Second = Id("cache", 3);

    [Theory]
    [InlineData("ring", "ring", true)]
    [InlineData("*", "", true)]
    [InlineData("snap-*", "snap-7", true)]
    [InlineData("snap-*", "snap", false)]
    [InlineData("?", "", false)]
    [InlineData("a?c", "abc", true)]
    [InlineData("*a*b*", "xxaxxbxx", true)]
    [InlineData("*a*b", "xxaxxbx", false)]
    [InlineData("Ring", "ring", false)]
    [InlineData("a.c", "abc", false)]
    public void Wildcards(string pattern, string name, bool matches) => Assert.Equal(matches, Wildcard.Matches(pattern, name));

    [Fact]
    public void BothSidesMustAgree_AndOnlyTheMissingHalfIsTold()
    {
        ServiceDefinition silent = A.Service("cache"), asking = A.Service("web") with { Request = [new RequestRule("cache", "r*")] };
        ServiceDefinition sharing = silent with { Share = [new ShareRule("ring", ["web"])] },
            open = silent with { Share = [new ShareRule("*", ["*"])] };

        Assert.Null(SharingPolicy.WhyDenied(asking, sharing, "ring"));
        Assert.Null(SharingPolicy.WhyDenied(asking, open, "rope"));
        Assert.Equal("services.cache.share = { \"ring\" = [\"web\"] }", SharingPolicy.WhyDenied(asking, silent, "ring"));
        Assert.Equal("services.cache.share = { \"rope\" = [\"web\"] }", SharingPolicy.WhyDenied(asking, sharing, "rope"));
        Assert.Equal("services.web.request = [\"cache/ring\"]", SharingPolicy.WhyDenied(A.Service("web"), sharing, "ring"));
        Assert.Equal(
            "services.cache.share = { \"log\" = [\"web\"] } and services.web.request = [\"cache/log\"]",
            SharingPolicy.WhyDenied(asking, sharing, "log"));
        Assert.NotNull(SharingPolicy.WhyDenied(A.Service("other") with { Request = [new RequestRule("cache", "*")] }, sharing, "ring"));
        Assert.True(SharingPolicy.Knows(asking, silent) && !SharingPolicy.Knows(silent, asking));
    }

    [Fact]
    public void TheInstanceThatIsFurthestUpIsAsked()
    {
        Dictionary<InstanceId, SiblingRank> ranks = new() { [First] = SiblingRank.Ready, [Second] = SiblingRank.Starting };
        Siblings siblings = new(id => ranks[id]);
        _ = siblings.Publish(First, 0, 1, "ring", 5, out _);
        _ = siblings.Publish(Second, 0, 2, "ring", 5, out _);

        Assert.Equal(First, siblings.Find(Web, new ServiceName("cache"), null, "ring")?.Owner);
        ranks[Second] = SiblingRank.Ready;
        Assert.Equal(Second, siblings.Find(Web, new ServiceName("cache"), null, "ring")?.Owner);
        ranks[Second] = SiblingRank.Draining;
        Assert.Equal(First, siblings.Find(Web, new ServiceName("cache"), null, "ring")?.Owner);
        // Its own only when it names its own slot.
        Assert.Equal(Second, siblings.Find(First, new ServiceName("cache"), null, "ring")?.Owner);
        Assert.Equal(First, siblings.Find(First, new ServiceName("cache"), 0, "ring")?.Owner);
        Assert.Null(siblings.Find(Web, new ServiceName("cache"), 1, "ring"));
        Assert.Null(siblings.Find(Web, new ServiceName("cache"), null, "rings"));
    }

    [Fact]
    public void WhoWaitsIsServedOnce_AndForgottenWithItsInstance()
    {
        Siblings siblings = new(_ => SiblingRank.Ready);
        ServiceName cache = new("cache");
        WaitingRequest any = siblings.Wait(Web, cache, null, "ring"), slot = siblings.Wait(Web, cache, 1, "ring");
        WaitingRequest other = siblings.Wait(Web, cache, null, "rope"), own = siblings.Wait(First, cache, null, "ring");

        Publication published = siblings.Publish(First, 0, 1, "ring", 5, out _)!;
        Assert.Equal([any], siblings.TakeWaiting(published));
        Assert.Empty(siblings.TakeWaiting(published));
        Assert.False(siblings.StopWaiting(any));
        Assert.Empty(siblings.Forget(Web, out IReadOnlyList<WaitingRequest> unanswered));
        Assert.Equal([slot, other], unanswered);
        Assert.Equal([published], siblings.Forget(First, out unanswered));
        Assert.Equal([own], unanswered);
        Assert.Null(siblings.Find(Web, cache, null, "ring"));
        Assert.All(["ring", "rope"], name => Assert.Empty(siblings.TakeWaiting(siblings.Publish(First, 1, 1, name, 5, out _)!)));
    }

    [Fact]
    public void ANameMeansTheNewestNumber_AndAnInstanceHasSoManyNamesAtMost()
    {
        Siblings siblings = new(_ => SiblingRank.Ready);
        Publication before = siblings.Publish(First, 0, 1, "n0", 5, out _)!;
        Assert.NotNull(siblings.Publish(First, 0, 1, "n0", 6, out Publication? replaced));
        Assert.Equal(before, replaced);
        for (int i = 1; i < Limits.PublishedCount; i++)
            Assert.NotNull(siblings.Publish(First, 0, 1, $"n{i}", 5, out _));

        Assert.Null(siblings.Publish(First, 0, 1, "one more", 5, out _));
        Assert.NotNull(siblings.Publish(Second, 1, 1, "one more", 5, out _));
        Assert.NotNull(siblings.Publish(First, 0, 1, "n7", 8, out _));
        Assert.Equal(6, siblings.Find(Web, new ServiceName("cache"), null, "n0")?.Number);
        Assert.NotNull(siblings.Unpublish(First, "n7"));
        Assert.Null(siblings.Unpublish(First, "n7"));
        Assert.NotNull(siblings.Publish(First, 0, 1, "one more", 5, out _));
    }

    private static InstanceId Id(string service, long number) => new(new ServiceName(service), number);
}
