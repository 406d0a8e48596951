using Launchd.Config.Sources;

namespace Launchd.Config.Diagnostics;

/// <summary>One thing to tell about a configuration, with its place.</summary>
/// <param name="Severity">An error means that there is no definition.</param>
/// <param name="Code">What it is, for search engines and scripts.</param>
/// <param name="Span">What the caret line marks.</param>
/// <param name="Message">One sentence without a full stop that starts with the dotted path of the key, if it is about one.</param>
/// <param name="Hint">What to do about it, or null.</param>
internal sealed record Diagnostic(DiagnosticSeverity Severity, DiagnosticCode Code, SourceSpan Span, string Message, string? Hint = null)
{
    public bool IsError => Severity == DiagnosticSeverity.Error;

    /// <summary><c>LD1203</c>.</summary>
    public string CodeText => $"LD{(int)Code}";
}
