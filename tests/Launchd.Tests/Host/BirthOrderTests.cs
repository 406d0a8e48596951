using Launchd.Host.Launching;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.Host;

/// <summary>How long a birth has been under way while the supervisor was away in between.</summary>
public sealed class BirthOrderTests
{
    private static readonly TimeSpan Hour = TimeSpan.FromHours(1);

    [Fact]
    public void AnAbsence_CountsNeitherAsAWait_NorAsWork()
    {
        using BirthOrder order = Make();
        order.Take();
        Assert.Equal(5, order.TakenFor(After(order.TakenAt, 5)).TotalSeconds);
        order.Allow(Hour, After(order.TakenAt, 3605));
        Assert.Equal(5, order.TakenFor(After(order.TakenAt, 3605)).TotalSeconds);
        Assert.Equal(5, order.WaitedFor(After(order.OrderedAt, 3605)).TotalSeconds);
    }

    // Otherwise a birth that hangs would be given up later by as long as it had waited before.
    [Fact]
    public void AnAbsence_BeforeAThreadTookIt_DoesNotCountAgainstTheTimeSince()
    {
        using BirthOrder order = Make();
        order.Allow(Hour, After(order.OrderedAt, 3605));
        order.Take();
        Assert.Equal(5, order.WaitedFor(After(order.OrderedAt, 3605)).TotalSeconds);
        Assert.Equal(5, order.TakenFor(After(order.TakenAt, 5)).TotalSeconds);
    }

    // The thread may run before the loop does.
    [Fact]
    public void AnAbsence_ThatIsToldOnlyAfterAThreadTookIt_TakesNoMoreThanTheTimeSince()
    {
        using BirthOrder order = Make();
        order.Take();
        order.Allow(Hour, After(order.TakenAt, 1));
        Assert.Equal(0, order.TakenFor(After(order.TakenAt, 1)).TotalSeconds);
        Assert.Equal(5, order.TakenFor(After(order.TakenAt, 6)).TotalSeconds);
    }

    private static long After(long moment, long seconds) => moment + (seconds * 1_000_000_000);

    private static BirthOrder Make() => new(new ServiceName("web"), new Birth(), (_, _) => null, _ => { });
}
