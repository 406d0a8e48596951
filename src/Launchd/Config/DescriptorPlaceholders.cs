using Launchd.Model;

namespace Launchd.Config;

/// <summary>Checks that each <c>${fd:NAME}</c> of a service names a descriptor that it gets.</summary>
internal static class DescriptorPlaceholders
{
    private const string Prefix = "fd:";

    public static void Check(ServiceEntry service, List<string> names)
    {
        ServiceDefinition definition = service.Definition;
        CheckTexts(service, names, "command", definition.Command);
        CheckTexts(service, names, "environment", definition.Execution.Environment.Select(v => v.Value));
        CheckTexts(service, names, "stop_command", definition.Stop.Command);
        if (definition.Reload is ReloadAction.Command reload)
            CheckTexts(service, names, "reload", reload.Arguments);
    }

    private static void CheckTexts(ServiceEntry service, List<string> names, string key, IEnumerable<string> texts)
    {
        foreach (string text in texts)
        {
            if (!text.Contains(Placeholders.Mark))
                continue;
            Placeholders.Resolve(text, name =>
            {
                if (name.StartsWith(Prefix, StringComparison.Ordinal) && !names.Contains(name[Prefix.Length..]))
                    Report(service, key, name[Prefix.Length..], names);
                return "";
            });
        }
    }

    private static void Report(ServiceEntry service, string key, string name, List<string> names)
    {
        string written = $"${{{Prefix}{name}}}";
        // An environment is made of the service's own and the defaults' variables.
        TableReader table = CrossChecks.ElementOf(service.Table, key, t => t.Contains(written, StringComparison.Ordinal)) is null
            ? service.Defaults ?? service.Table
            : service.Table;
        SourceSpan span = CrossChecks.ElementOf(table, key, t => t.Contains(written, StringComparison.Ordinal))?.Span ?? service.Table.SpanOf(key);
        string? hint = Suggestion.For(name, names)
            ?? (names.Count == 0 ? "the service gets no sockets and no files" : $"it gets {string.Join(", ", names.Distinct())}");
        service.Table.Context.Diagnostics.Error(
            DiagnosticCode.UnknownDescriptor, span, $"{service.Table.PathTo(key)}: the service gets no descriptor '{name}'", hint);
    }
}
