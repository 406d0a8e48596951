using System.Text;
using Launchd.Config.Diagnostics;
using Launchd.Config.Toml;
using Launchd.Model;

namespace Launchd.Config.Values;

/// <summary>Which placeholders a string may have, besides variables of the supervisor's environment.</summary>
internal enum PlaceholderUse
{
    /// <summary>Nothing: the value is needed now.</summary>
    None,

    /// <summary><c>${fd:NAME}</c>, <c>${service}</c>, <c>${slot}</c>, <c>${generation}</c>, which an instance's start fills in.</summary>
    Instance,

    /// <summary><c>${service}</c> and <c>${slot}</c>, for a file that belongs to one of them.</summary>
    Slot,
}

/// <summary>
/// Replaces <c>${NAME}</c>, <c>${NAME:-default}</c> and <c>$$</c>. Any other dollar stays as it is, so
/// that texts for a shell need no escaping.
/// </summary>
internal sealed class Substitution(IReadOnlyDictionary<string, string> environment, DiagnosticBag diagnostics)
{
    private const string Where = "it may stand in 'command', 'environment', 'stop_command' and the command of 'reload'";
    private const string WhereOfSlots = Where + ", ${service} and ${slot} also in the path of 'log'";

    /// <summary>Whether there is anything in a text to replace or to refuse.</summary>
    public static bool IsNeeded(string text) => text.AsSpan().ContainsAny('$', Placeholders.Mark, '\0');

    /// <summary>The string's final text, or null after an error.</summary>
    /// <param name="value">A string value.</param>
    /// <param name="path">The key, for messages. Called only to report.</param>
    /// <param name="use">Which placeholders it may have.</param>
    public string? Apply(TomlValue value, Func<string> path, PlaceholderUse use)
    {
        string text = value.Text;
        if (!IsNeeded(text))
            return text;
        if (text.AsSpan().ContainsAny(Placeholders.Mark, '\0'))
        {
            string name = text.Contains('\0') ? "a NUL byte" : "the private-use character U+E000";
            diagnostics.Error(DiagnosticCode.ReservedCharacter, value.Span, $"{path()}: {name} cannot stand in a string");
            return null;
        }
        StringBuilder result = new(text.Length);
        int done = 0;
        for (int dollar = text.IndexOf('$'); dollar >= 0; dollar = done < text.Length ? text.IndexOf('$', done) : -1)
        {
            result.Append(text, done, dollar - done);
            char next = dollar + 1 < text.Length ? text[dollar + 1] : '\0';
            if (next != '{')
            {
                result.Append('$');
                done = dollar + (next == '$' ? 2 : 1);
                continue;
            }
            int close = text.IndexOf('}', dollar);
            if (close < 0)
            {
                diagnostics.Error(DiagnosticCode.BadSubstitution, value.Span, $"{path()}: '${{' is not closed", "write '$$' for a dollar");
                return null;
            }
            if (Replacement(text[(dollar + 2)..close], value, path, use) is not { } replacement)
                return null;
            result.Append(replacement);
            done = close + 1;
        }
        return result.Append(text, done, text.Length - done).ToString();
    }

    private string? Replacement(string inside, TomlValue value, Func<string> path, PlaceholderUse use)
    {
        if (inside.StartsWith("fd:", StringComparison.Ordinal) || inside is "service" or "slot" or "generation")
        {
            bool isOfSlot = inside is "service" or "slot";
            if (use == PlaceholderUse.Instance || (use == PlaceholderUse.Slot && isOfSlot))
                return Placeholders.Store(inside);
            diagnostics.Error(DiagnosticCode.PlaceholderNotHere, value.Span, $"{path()}: '${{{inside}}}' is not known here",
                isOfSlot ? WhereOfSlots : Where);
            return null;
        }
        int split = inside.IndexOf(":-", StringComparison.Ordinal);
        string name = split < 0 ? inside : inside[..split];
        string? fallback = split < 0 ? null : inside[(split + 2)..];
        if (!IsVariableName(name) || fallback?.Contains("${", StringComparison.Ordinal) == true)
        {
            diagnostics.Error(
                DiagnosticCode.BadSubstitution, value.Span, $"{path()}: '${{{inside}}}' is no substitution",
                "write ${NAME} or ${NAME:-default}, without a further ${ in the default, or '$$' for a dollar");
            return null;
        }
        string? found = environment.GetValueOrDefault(name);
        if (found is { Length: > 0 } || (found is not null && fallback is null))
            return CheckedVariable(found, name, value, path);
        if (fallback is not null)
            return fallback;
        diagnostics.Error(
            DiagnosticCode.UnsetVariable, value.Span, $"{path()}: the environment variable '{name}' is not set",
            $"write ${{{name}:-default}} if it may be missing, or $${{{name}}} for a program that shall see the dollar itself");
        return null;
    }

    private string? CheckedVariable(string found, string name, TomlValue value, Func<string> path)
    {
        if (!found.Contains(Placeholders.Mark))
            return found;
        diagnostics.Error(
            DiagnosticCode.ReservedCharacter, value.Span, $"{path()}: the variable '{name}' holds the private-use character U+E000");
        return null;
    }

    /// <summary>Letters, digits and underscores, not beginning with a digit.</summary>
    public static bool IsVariableName(string name) =>
        name.Length > 0 && !char.IsAsciiDigit(name[0]) && name.All(c => char.IsAsciiLetterOrDigit(c) || c == '_');
}
