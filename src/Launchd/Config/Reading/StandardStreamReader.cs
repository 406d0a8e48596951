using Launchd.Config.Diagnostics;
using Launchd.Config.Tables;
using Launchd.Config.Toml;
using Launchd.Model;

namespace Launchd.Config.Reading;

/// <summary>Reads <c>input</c>, <c>output</c> and <c>error</c>.</summary>
internal static class StandardStreamReader
{
    private const string FilePrefix = "file:";

    public static InputSource Input(TableReader table, InputSource fallback)
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

    public static OutputTarget Output(TableReader table, string key, OutputTarget fallback)
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
