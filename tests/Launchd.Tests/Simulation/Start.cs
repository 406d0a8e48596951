using Launchd.Core;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>The order that began an instance: its preparation, or its spawn where it needs none.</summary>
internal readonly record struct Start(
    InstanceId Instance, int Slot, ServiceDefinition Definition, StartReason Reason, ConnectionId? Connection)
{
    /// <summary>Null: the effect is something else, such as the spawn of what was prepared.</summary>
    public static Start? Of(Event happened, Effect effect) => effect switch
    {
        Effect.Prepare e => new Start(e.Instance, e.Slot, e.Definition, e.Reason, e.Connection),
        Effect.Spawn e when happened is not Event.Prepared prepared || prepared.Instance != e.Instance =>
            new Start(e.Instance, e.Slot, e.Definition, e.Reason, e.Connection),
        _ => null,
    };

    public static IEnumerable<Start> In(Event happened, IReadOnlyList<Effect> effects) =>
        effects.Select(e => Of(happened, e)).OfType<Start>();

    public override string ToString() => $"{Instance} slot {Slot} {Reason}";
}
