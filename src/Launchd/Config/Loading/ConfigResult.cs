using System.Collections.Immutable;
using Launchd.Config.Diagnostics;
using Launchd.Model;

namespace Launchd.Config.Loading;

/// <summary>The result of reading a configuration.</summary>
/// <param name="Definition">Null if there is any error.</param>
/// <param name="Diagnostics">By file and place. Each carries the text of its file, so that it can be printed without the disk.</param>
internal sealed record ConfigResult(SupervisorDefinition? Definition, ImmutableArray<Diagnostic> Diagnostics)
{
    /// <summary>Where the sockets, files and services of the configuration stand.</summary>
    public ConfigPlaces Places { get; init; } = new([], [], []);

    /// <summary>All diagnostics as they are shown to people; empty if there are none.</summary>
    public string Print(bool withColour = false) => DiagnosticPrinter.Print(Diagnostics, withColour);
}
