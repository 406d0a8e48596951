using System.Collections.Immutable;
using Launchd.Model;

namespace Launchd.Config.Comparing;

/// <summary>
/// Whether two definitions are the same, member by member. Records compare their arrays by reference, so before the
/// comparison equal arrays are replaced by one object. If an array is forgotten here, two equal definitions count as
/// different and are then compared by their texts.
/// </summary>
internal static class SameDefinition
{
    public static bool Is(ServiceDefinition old, ServiceDefinition next)
    {
        ServiceDefinition same = old with
        {
            Command = Of(old.Command, next.Command),
            Sockets = Of(old.Sockets, next.Sockets),
            Files = Of(old.Files, next.Files),
            Requires = Of(old.Requires, next.Requires),
            Wants = Of(old.Wants, next.Wants),
            After = Of(old.After, next.After),
            Before = Of(old.Before, next.Before),
            SuccessCodes = Of(old.SuccessCodes, next.SuccessCodes),
            SuccessSignals = Of(old.SuccessSignals, next.SuccessSignals),
            Share = Of(old.Share, next.Share),
            Request = Of(old.Request, next.Request),
            Stop = old.Stop with { Command = Of(old.Stop.Command, next.Stop.Command) },
            Execution = Of(old.Execution, next.Execution),
        };
        return same == next;
    }

    public static bool Is(ListenerDefinition old, ListenerDefinition next) =>
        old with { Addresses = Of(old.Addresses, next.Addresses), Symlinks = Of(old.Symlinks, next.Symlinks) } == next;

    private static Execution Of(Execution old, Execution next) => old with
    {
        Environment = Of(old.Environment, next.Environment),
        EnvironmentFiles = Of(old.EnvironmentFiles, next.EnvironmentFiles),
        SupplementaryGroups = Of(old.SupplementaryGroups, next.SupplementaryGroups),
        Limits = Of(old.Limits, next.Limits),
    };

    private static ImmutableArray<T> Of<T>(ImmutableArray<T> old, ImmutableArray<T> next) =>
        old == next || old.AsSpan().SequenceEqual(next.AsSpan(), EqualityComparer<T>.Default) ? next : old;
}
