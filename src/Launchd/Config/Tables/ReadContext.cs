using Launchd.Config.Diagnostics;
using Launchd.Config.Sources;
using Launchd.Config.Values;
using Launchd.Model;

namespace Launchd.Config.Tables;

/// <summary>
/// What all readers of one configuration share. A thousand services have mostly equal values: by <see cref="Shared(string)"/> and its
/// overloads their definitions share objects, which saves memory for as long as the supervisor lives.
/// </summary>
internal sealed class ReadContext(ConfigSource source)
{
    /// <summary>Longer texts are scripts, of which no two are alike.</summary>
    private const int LongestSharedText = 128;

    private readonly HashSet<string> _texts = new(StringComparer.Ordinal);
    private readonly HashSet<object> _parts = [];
    private Execution? _lastExecution;

    public ConfigSource Source => source;
    public DiagnosticBag Diagnostics { get; } = new();
    public Substitution Substitution => field ??= new Substitution(source.Environment, Diagnostics);

    /// <summary>The first of all equal texts.</summary>
    public string? Shared(string? text)
    {
        if (text is null || text.Length > LongestSharedText || _texts.Add(text))
            return text;
        return _texts.TryGetValue(text, out string? first) ? first : text;
    }

    /// <summary>The first of all equal parts of definitions.</summary>
    public T Shared<T>(T part)
        where T : class
    {
        if (_parts.TryGetValue(part, out object? first))
            return (T)first;
        _parts.Add(part);
        return part;
    }

    /// <summary>The last execution if this one is equal to it: services that run as the same user stand together.</summary>
    public Execution Shared(Execution execution)
    {
        if (_lastExecution is { } last && AreEqual(last, execution))
            return last;
        _lastExecution = execution;
        return execution;
    }

    // A record compares its arrays by identity, so they are compared here.
    private static bool AreEqual(Execution a, Execution b) =>
        a.Environment.SequenceEqual(b.Environment)
            && a.EnvironmentFiles.SequenceEqual(b.EnvironmentFiles) && a.Limits.SequenceEqual(b.Limits)
            && a.SupplementaryGroups.SequenceEqual(b.SupplementaryGroups)
            && a == b with
            {
                Environment = a.Environment, EnvironmentFiles = a.EnvironmentFiles,
                Limits = a.Limits, SupplementaryGroups = a.SupplementaryGroups,
            };
}
