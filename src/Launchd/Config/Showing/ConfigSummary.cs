using System.Collections.Immutable;
using Launchd.Config.Diagnostics;
using Launchd.Model;

namespace Launchd.Config.Showing;

/// <summary>What <c>check</c> prints last.</summary>
internal static class ConfigSummary
{
    /// <summary><c>ok: 3 services, 2 sockets, 1 file</c>.</summary>
    public static string Of(SupervisorDefinition definition) =>
        $"ok: {Count(definition.Services.Length, "service")}, {Count(definition.Listeners.Length, "socket")}, "
            + Count(definition.Files.Length, "file");

    /// <summary><c>2 errors, 1 warning</c>.</summary>
    public static string Of(ImmutableArray<Diagnostic> diagnostics)
    {
        int errors = diagnostics.Count(d => d.IsError);
        int warnings = diagnostics.Length - errors;
        return warnings == 0 ? Count(errors, "error") : $"{Count(errors, "error")}, {Count(warnings, "warning")}";
    }

    private static string Count(int count, string noun) => count == 1 ? $"1 {noun}" : $"{count} {noun}s";
}
