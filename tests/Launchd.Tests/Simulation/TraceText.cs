using System.Collections.Immutable;
using Launchd.Core;

namespace Launchd.Tests.Simulation;

/// <summary>One line for each event and effect of a simulation.</summary>
internal static class TraceText
{
    public static string Of(Moment now, Event happened) => $"{now.Nanoseconds / 1e9,12:0.000000} ▶ {Detail(happened)}";

    public static string Of(Effect effect) => $"{"",12}   └ {Detail(effect)}";

    private static string Detail(Event happened) => happened switch
    {
        Event.Notified e => $"Notified {e.Instance} [{string.Join(' ', e.Message.Lines)}] {Joined(e.Descriptors)}",
        Event.Reloaded e => $"Reloaded {e.Request} ({string.Join(' ', e.Next.Services.Select(s => s.Name))}) quiet {Joined(e.Quiet)}",
        Event.Requested e => $"Requested {e.Request.Number} {e.Verb} {Joined(e.Services)} {e.Count} {e.Update}",
        _ => happened.ToString(),
    };

    private static string Detail(Effect effect) => effect switch
    {
        Effect.Spawn e => $"Spawn {e.Instance} slot {e.Slot} generation {e.Generation} {e.Reason} {e.Connection} {Joined(e.Stored)}",
        Effect.Reply e => $"Reply {e.Request.Number} {Joined(e.Outcomes)}",
        Effect.Report { Notice: Notice.Notified e } => $"Report notified {e.Instance}",
        _ => effect.ToString(),
    };

    private static string Joined<T>(ImmutableArray<T> items) => $"({string.Join(", ", items)})";
}
