using Launchd.Config.Diagnostics;
using Launchd.Config.Tables;

namespace Launchd.Config.Reading;

/// <summary>
/// Keys that are read and checked but whose behaviour is still to come. A row goes when its feature lands; with the last row this file
/// goes. An error where a service would silently lack what its author counts on, else a warning.
/// </summary>
internal static class NotBuiltYet
{
    private static readonly (string Key, DiagnosticSeverity Severity, string Text, string? Hint)[] ServiceKeys =
    [
        ("cgroup", DiagnosticSeverity.Error, "is not built yet: no limit would hold",
            "leave it out; 'limits' holds for each process alone"),
    ];

    /// <summary>Looks at one <c>[services.NAME]</c> or at <c>[defaults]</c>.</summary>
    public static void CheckService(TableReader table)
    {
        foreach ((string key, DiagnosticSeverity severity, string text, string? hint) in ServiceKeys)
        {
            if (!table.Has(key))
                continue;
            if (severity == DiagnosticSeverity.Error)
                table.Error(DiagnosticCode.NotBuilt, key, text, hint);
            else
                table.Warning(DiagnosticCode.NotBuiltFully, key, text, hint);
        }
    }

    public static void CheckSupervisor(TableReader table, SupervisorSettings settings)
    {
        if (table.Has("keeper") && settings.Keeper)
        {
            table.Warning(DiagnosticCode.NotBuiltFully, "keeper", "has no effect yet: the supervisor is one process",
                "leave it out, or write false");
        }
    }
}
