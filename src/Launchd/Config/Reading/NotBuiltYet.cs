using Launchd.Config.Diagnostics;
using Launchd.Config.Tables;

namespace Launchd.Config.Reading;

/// <summary>
/// Keys that are read and checked but whose behaviour is still to come, so that a service would silently lack what its author counts on. A
/// row goes when its feature lands; with the last row this file goes.
/// </summary>
internal static class NotBuiltYet
{
    private static readonly (string Key, string Text, string? Hint)[] ServiceKeys =
    [
        ("cgroup", "is not built yet: no limit would hold", "leave it out; 'limits' holds for each process alone"),
    ];

    /// <summary>Looks at one <c>[services.NAME]</c> or at <c>[defaults]</c>.</summary>
    public static void CheckService(TableReader table)
    {
        foreach ((string key, string text, string? hint) in ServiceKeys)
        {
            if (table.Has(key))
                table.Error(DiagnosticCode.NotBuilt, key, text, hint);
        }
    }
}
