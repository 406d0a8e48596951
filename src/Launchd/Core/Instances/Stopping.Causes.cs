using Launchd.Core.Slots;

namespace Launchd.Core.Instances;

/// <summary>Causes of an end: which is stronger, and how they are told.</summary>
internal static partial class Stopping
{
    private static bool IsWish(StopCause cause) => cause is StopCause.Wish or StopCause.Replace or StopCause.Unused or StopCause.Retire;

    private static int Weight(StopCause cause) => cause switch
    {
        StopCause.Retire => 3,
        StopCause.Wish => 2,
        StopCause.Replace => 1,
        _ => 0,
    };

    private static string Reason(StopCause cause) => cause switch
    {
        StopCause.Wish => "it is to stop",
        StopCause.Replace => "it is to be replaced",
        StopCause.Unused unused => $"nobody used it for {Spans.Show(unused.For)}",
        StopCause.Failed(var failure) => failure.ToString(),
        StopCause.Retire(var why) => why,
        _ => "it said that it stops",
    };

    /// <summary>Whether an instance of a service runs that has not begun to end.</summary>
    public static bool IsToBeTold(ServiceState service)
    {
        foreach (SlotState slot in service.Slots)
        {
            if (IsToBeTold(slot))
                return true;
        }
        foreach (SlotState beside in service.Beside)
        {
            if (IsToBeTold(beside))
                return true;
        }
        return false;
    }

    private static bool IsToBeTold(SlotState slot) =>
        slot.Phase is SlotPhase.Live and not (SlotPhase.Stopping or SlotPhase.Preparing or SlotPhase.Live { IsBeingSpawned: true });
}
