namespace Launchd.Host.Loop;

/// <summary>
/// The order in which ready descriptors are handled within one wake-up of the loop; timers of the core come last, after all of these.
/// </summary>
internal static class LoopPriority
{
    public const int Notify = 0, Control = 1, Listener = 2, Signal = 3;
}
