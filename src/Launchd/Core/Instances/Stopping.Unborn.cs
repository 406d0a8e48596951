using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core.Instances;

/// <summary>The end of an instance that is not born yet: there is no process to tell, and whether it will be born is known later.</summary>
internal static partial class Stopping
{
    private static void EndUnborn(Draft d, int service, SlotState slot, SlotPhase.Starting unborn, StopCause cause)
    {
        if (unborn.EndsFor is null)
            d.Do(new Effect.EndBirth(unborn.Instance.Id));
        if (unborn.EndsFor is not { } known || Weight(cause) > Weight(known))
            d.SetPhase(service, slot, unborn with { EndsFor = cause });
    }

    /// <summary>An instance is born that was already to end: ends it now.</summary>
    public static void BeginWithNewborn(Draft d, int service, SlotState slot, StopCause cause)
    {
        if (d.Frame.Shutdown is { IsImmediate: true })
            Kill(d, service, slot);
        else
            Begin(d, service, slot, cause);
    }

    /// <summary>An instance is born that was already given up: kills it.</summary>
    public static void KillNewborn(Draft d, int service, SlotState slot, SlotPhase.Stopping born)
    {
        d.SetPhase(service, slot, born);
        d.Do(new Effect.Signal(born.Instance.Id, SignalNumber.Kill, born.Instance.Definition.Stop.Kill));
    }

    /// <summary>An instance that was given up never came to run its program.</summary>
    public static void NoteUnborn(Draft d, int service, SlotState slot, SlotPhase.Stopping unborn) =>
        Finish(d, service, slot, Succession.Leave(d, service, unborn.Instance), new ExitStatus(0), unborn.Cause);
}
