using System.Collections.Immutable;
using Launchd.Config.Sources;

namespace Launchd.Config.Diagnostics;

/// <summary>Collects the diagnostics of all files of one configuration.</summary>
internal sealed class DiagnosticBag
{
    /// <summary>Further diagnostics are dropped: a file of nonsense must not fill memory and terminal.</summary>
    public const int MostDiagnostics = 1000;

    private readonly List<Diagnostic> _all = [];

    public bool HasErrors { get; private set; }

    public void Error(DiagnosticCode code, SourceSpan span, string message, string? hint = null) =>
        Add(new Diagnostic(DiagnosticSeverity.Error, code, span, message, hint));

    public void Warning(DiagnosticCode code, SourceSpan span, string message, string? hint = null) =>
        Add(new Diagnostic(DiagnosticSeverity.Warning, code, span, message, hint));

    /// <summary>All of them by file and place; several at one place in the order in which they were found, none twice.</summary>
    public ImmutableArray<Diagnostic> Sorted() => Sort(_all);

    /// <summary>Sorts any diagnostics in the same way.</summary>
    public static ImmutableArray<Diagnostic> Sort(IEnumerable<Diagnostic> diagnostics) =>
        [.. diagnostics.Distinct().OrderBy(d => d.Span.Source.FilePath, StringComparer.Ordinal).ThenBy(d => d.Span.Start)];

    private void Add(Diagnostic diagnostic)
    {
        HasErrors |= diagnostic.IsError;
        if (_all.Count < MostDiagnostics)
            _all.Add(diagnostic);
    }
}
