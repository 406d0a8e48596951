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
}
