using System.Collections.Immutable;
using System.Text;
using Launchd.Model;

namespace Launchd.Config.Showing;

/// <summary>The services, sockets and files of a configuration and their dependencies, as text for a drawing program.</summary>
internal static class DependencyDrawing
{
    /// <summary>For Graphviz. An arrow points to the service, socket or file that is needed or waited for.</summary>
    public static string ToDot(SupervisorDefinition definition)
    {
        StringBuilder text = new();
        text.Append($"digraph {Quoted(definition.Name)} {{\n  rankdir=LR;\n");
        foreach (ServiceDefinition service in definition.Services)
            text.Append($"  {Quoted(service.Name.Text)} [shape=box];\n");
        foreach (ListenerDefinition listener in definition.Listeners)
            text.Append($"  {Quoted("sockets." + listener.Key)} [shape=ellipse, label={Quoted(LabelOf(listener))}];\n");
        foreach (FileDefinition file in definition.Files)
            text.Append($"  {Quoted("files." + file.Key)} [shape=note, label={Quoted(file.Key)}];\n");
        foreach ((string from, string to, string kind) in Edges(definition))
            text.Append($"  {Quoted(from)} -> {Quoted(to)} [{DotStyle(kind)}];\n");
        return text.Append("}\n").ToString();
    }

    /// <summary>Mermaid, as many forges draw it in documents.</summary>
    public static string ToMermaid(SupervisorDefinition definition)
    {
        StringBuilder text = new("flowchart LR\n");
        Dictionary<string, string> ids = new(StringComparer.Ordinal);
        foreach (ServiceDefinition service in definition.Services)
            text.Append($"  {Id(ids, service.Name.Text)}[\"{MermaidText(service.Name.Text)}\"]\n");
        foreach (ListenerDefinition listener in definition.Listeners)
            text.Append($"  {Id(ids, "sockets." + listener.Key)}([\"{MermaidText(LabelOf(listener))}\"])\n");
        foreach (FileDefinition file in definition.Files)
            text.Append($"  {Id(ids, "files." + file.Key)}[/\"{MermaidText(file.Key)}\"/]\n");
        foreach ((string from, string to, string kind) in Edges(definition))
            text.Append($"  {Id(ids, from)} {(kind is "requires" or "uses" ? "-->" : "-.->")}|{kind}| {Id(ids, to)}\n");
        return text.ToString();
    }

    private static IEnumerable<(string From, string To, string Kind)> Edges(SupervisorDefinition definition)
    {
        foreach (ServiceDefinition service in definition.Services)
        {
            string name = service.Name.Text;
            foreach ((string kind, ImmutableArray<ServiceName> others) in
                new[] { ("requires", service.Requires), ("wants", service.Wants), ("after", service.After) })
            {
                foreach (ServiceName other in others)
                    yield return (name, other.Text, kind);
            }
            // Drawn as "after" of the other service, because that one waits.
            foreach (ServiceName other in service.Before)
                yield return (other.Text, name, "after");
            foreach (string socket in service.Sockets)
                yield return (name, "sockets." + socket, "uses");
            foreach (string file in service.Files)
                yield return (name, "files." + file, "uses");
        }
    }

    private static string LabelOf(ListenerDefinition listener) =>
        $"{listener.Key}: {string.Join(", ", listener.Addresses.Select(a => a.ToString()))}";

    private static string DotStyle(string kind) => kind switch
    {
        "requires" => "label=\"requires\"",
        "uses" => "color=gray",
        _ => $"label=\"{kind}\", style=dashed",
    };

    private static string Quoted(string text) =>
        $"\"{text.Replace("\\", "\\\\", StringComparison.Ordinal).Replace("\"", "\\\"", StringComparison.Ordinal)}\"";

    private static string MermaidText(string text) => text.Replace("\"", "#quot;", StringComparison.Ordinal);

    // Names may hold characters and words that mean something to Mermaid, so its nodes are numbered.
    private static string Id(Dictionary<string, string> ids, string name)
    {
        if (!ids.TryGetValue(name, out string? id))
            ids.Add(name, id = $"n{ids.Count}");
        return id;
    }
}
