using Launchd.Config.Diagnostics;
using Launchd.Config.Tables;
using Launchd.Config.Toml;
using Launchd.Model;

namespace Launchd.Config.Reading;

/// <summary>What a program's standard streams are.</summary>
/// <param name="AreTerminal">All three are a terminal of its own; the others are their defaults then.</param>
/// <param name="Input">Standard input.</param>
/// <param name="Output">Standard output.</param>
/// <param name="Error">Standard error.</param>
internal readonly record struct StandardStreams(bool AreTerminal, InputSource Input, OutputTarget Output, OutputTarget Error);

/// <summary>Reads <c>terminal</c>, <c>input</c>, <c>output</c> and <c>error</c>.</summary>
internal static class StandardStreamReader
{
    private const string FilePrefix = "file:";

    /// <param name="table">Of a service, or the defaults.</param>
    /// <param name="based">The values of keys that the table does not have.</param>
    /// <param name="errorFollowsOutput">No table has <c>error</c>.</param>
    public static StandardStreams Read(TableReader table, ServiceDefinition based, bool errorFollowsOutput)
    {
        bool isTerminal = table.Bool("terminal", based.HasTerminal);
        InputSource input = Input(table, based.Input);
        OutputTarget output = Output(table, "output", based.Output);
        OutputTarget error = errorFollowsOutput ? output : Output(table, "error", based.Error);
        if (!isTerminal)
            return new StandardStreams(AreTerminal: false, input, output, error);
        // What the defaults say of the streams gives way to a terminal of the service's own; what stands in the same table does not.
        foreach (string key in (ReadOnlySpan<string>)["input", "output", "error"])
        {
            if (table.Has(key))
            {
                table.Error(DiagnosticCode.Contradiction, key, "with terminal = true the terminal is all three: input, output and error",
                    $"remove {key}, or write terminal = false");
            }
        }
        return new StandardStreams(AreTerminal: true, InputSource.Null.Value, OutputTarget.Log.Value, OutputTarget.Log.Value);
    }

    private static InputSource Input(TableReader table, InputSource fallback)
    {
        if (table.Take("input") is not { } found || table.TextOf("input", found) is not { } text)
            return fallback;
        return text switch
        {
            "null" => InputSource.Null.Value,
            "open" => InputSource.Open.Value,
            "socket" => InputSource.Socket.Value,
            _ when FilePathOf(table, "input", found, text) is { } path => new InputSource.File(path),
            _ => Wrong(table, "input", found, text, ["null", "open", "socket", "file:/path"], fallback),
        };
    }

    private static OutputTarget Output(TableReader table, string key, OutputTarget fallback)
    {
        if (table.Take(key) is not { } found || table.TextOf(key, found) is not { } text)
            return fallback;
        return text switch
        {
            "log" => OutputTarget.Log.Value,
            "inherit" => OutputTarget.Inherit.Value,
            "null" => OutputTarget.Null.Value,
            "socket" => OutputTarget.Socket.Value,
            _ when FilePathOf(table, key, found, text) is { } path => new OutputTarget.File(path),
            _ => Wrong(table, key, found, text, ["log", "inherit", "null", "socket", "file:/path"], fallback),
        };
    }

    private static string? FilePathOf(TableReader table, string key, TomlValue found, string text) =>
        text.Length > FilePrefix.Length && text.StartsWith(FilePrefix, StringComparison.Ordinal)
            ? table.FullPathOf(key, found, text[FilePrefix.Length..])
            : null;

    private static T Wrong<T>(TableReader table, string key, TomlValue found, string text, string[] choices, T fallback)
    {
        // A path that was too long has been reported already.
        if (text.Length > FilePrefix.Length && text.StartsWith(FilePrefix, StringComparison.Ordinal))
            return fallback;
        string? hint = text.StartsWith('/') ? $"write \"file:{text}\"" : Suggestion.For(text, choices);
        table.Error(DiagnosticCode.UnknownChoice, key, found, $"'{text}' is not one of {string.Join(", ", choices)}", hint);
        return fallback;
    }
}
