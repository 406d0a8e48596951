using System.Collections.Immutable;
using Launchd.Config.Diagnostics;
using Launchd.Config.Reading;
using Launchd.Config.Sources;
using Launchd.Config.Tables;
using Launchd.Model;

namespace Launchd.Config.Checking;

/// <summary>Checks that each <c>${fd:NAME}</c> of a service names a descriptor that it gets.</summary>
internal sealed class DescriptorPlaceholders
{
    private const string Prefix = "fd:";

    // Most services share one Execution object, which is searched only once.
    private Execution? _withoutPlaceholders;

    /// <summary>Looks through all texts of a service that may hold placeholders.</summary>
    /// <param name="service">The service.</param>
    /// <param name="namesOf">The names of the descriptors that a service gets; asked only if it has placeholders.</param>
    public void Check(ServiceEntry service, Func<ServiceDefinition, List<string>> namesOf)
    {
        ServiceDefinition definition = service.Definition;
        CheckTexts(service, namesOf, "command", definition.Command);
        CheckTexts(service, namesOf, "stop_command", definition.Stop.Command);
        if (definition.Reload is ReloadAction.Command reload)
            CheckTexts(service, namesOf, "reload", reload.Arguments);
        if (ReferenceEquals(definition.Execution, _withoutPlaceholders))
            return;
        bool hasAny = false;
        foreach (EnvironmentVariable variable in definition.Execution.Environment)
            hasAny |= CheckText(service, namesOf, "environment", variable.Value);
        if (!hasAny)
            _withoutPlaceholders = definition.Execution;
    }

    private static void CheckTexts(
        ServiceEntry service, Func<ServiceDefinition, List<string>> namesOf, string key, ImmutableArray<string> texts)
    {
        foreach (string text in texts)
            CheckText(service, namesOf, key, text);
    }

    private static bool CheckText(ServiceEntry service, Func<ServiceDefinition, List<string>> namesOf, string key, string text)
    {
        if (!text.Contains(Placeholders.Mark))
            return false;
        CheckNames(service, namesOf(service.Definition), key, text);
        return true;
    }

    private static void CheckNames(ServiceEntry service, List<string> names, string key, string text) => Placeholders.Resolve(text, name =>
    {
        if (name.StartsWith(Prefix, StringComparison.Ordinal) && !names.Contains(name[Prefix.Length..]))
            Report(service, key, name[Prefix.Length..], names);
        return "";
    });

    private static void Report(ServiceEntry service, string key, string name, List<string> names)
    {
        string written = $"${{{Prefix}{name}}}";
        // A variable of the environment may stand in the service's table or in the defaults.
        TableReader table = CrossChecks.ElementOf(service.Table, key, t => t.Contains(written, StringComparison.Ordinal)) is null
            ? service.Defaults ?? service.Table
            : service.Table;
        SourceSpan span = CrossChecks.ElementOf(table, key, t => t.Contains(written, StringComparison.Ordinal))?.Span
            ?? service.Table.SpanOf(key);
        string? hint = Suggestion.For(name, names)
            ?? (names.Count == 0 ? "the service gets no sockets and no files" : $"it gets {string.Join(", ", names.Distinct())}");
        service.Table.Context.Diagnostics.Error(
            DiagnosticCode.UnknownDescriptor, span, $"{service.Table.PathTo(key)}: the service gets no descriptor '{name}'", hint);
    }
}
