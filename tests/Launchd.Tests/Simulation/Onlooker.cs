using Launchd.Core;

namespace Launchd.Tests.Simulation;

/// <summary>Looks on at every step of a simulation; what it throws ends the run.</summary>
internal abstract class Onlooker
{
    /// <summary>The step comes next.</summary>
    public abstract void Before(Event happened, Supervisor supervisor);

    /// <summary>The step was taken, and nothing of it carried out.</summary>
    public abstract void After(Event happened, Moment now, IReadOnlyList<Effect> effects, Supervisor supervisor);
}
