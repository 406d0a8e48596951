using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core.Instances;

/// <summary>The end of what is not born yet: nobody can be told, and what becomes of its birth is known later.</summary>
internal static partial class Stopping
{
    private static void EndUnborn(Draft d, int service, SlotState slot, SlotPhase.Starting unborn, StopCause cause)
    {
        if (unborn.EndsFor is null)
            d.Do(new Effect.EndBirth(unborn.Instance.Id));
        if (unborn.EndsFor is not { } known || Weight(cause) > Weight(known))
            d.SetPhase(service, slot, unborn with { EndsFor = cause });
    }

    /// <summary>It was to end before it was born.</summary>
    public static void BeginWithNewborn(Draft d, int service, SlotState slot, StopCause cause)
    {
        if (d.Frame.Shutdown is { IsImmediate: true })
            Kill(d, service, slot);
        else
            Begin(d, service, slot, cause);
    }

    /// <summary>It was given up before it was born.</summary>
    public static void KillNewborn(Draft d, int service, SlotState slot, SlotPhase.Stopping born)
    {
        d.SetPhase(service, slot, born);
        d.Do(new Effect.Signal(born.Instance.Id, SignalNumber.Kill, born.Instance.Definition.Stop.Kill));
    }

    /// <summary>It was given up, and never came to run its program.</summary>
    public static void NoteUnborn(Draft d, int service, SlotState slot, SlotPhase.Stopping unborn) =>
        Finish(d, service, slot, Succession.Leave(d, service, unborn.Instance), new ExitStatus(0), unborn.Cause);
}
