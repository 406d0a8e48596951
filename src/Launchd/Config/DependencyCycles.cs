using Launchd.Model;

namespace Launchd.Config;

/// <summary>Finds services that wait for each other through <c>requires</c>, <c>after</c> and <c>before</c>.</summary>
internal static class DependencyCycles
{
    private enum Mark { New, Open, Done }

    /// <summary>Reports each cycle once, at a key that is part of it.</summary>
    public static void Check(DiagnosticBag diagnostics, List<ServiceEntry> services)
    {
        if (!services.Exists(IsOrdered))
            return;
        Dictionary<string, int> indexes = services.Index().ToDictionary(s => s.Item.Definition.Name.Text, s => s.Index, StringComparer.Ordinal);
        List<Edge>[] edges = FindEdges(services, indexes);
        Mark[] marks = new Mark[services.Count];
        // Not by recursion: a file can hold a chain longer than a stack.
        Stack<(int Service, int Next)> path = new();
        for (int start = 0; start < services.Count; start++)
        {
            if (marks[start] != Mark.New)
                continue;
            path.Push((start, 0));
            marks[start] = Mark.Open;
            while (path.TryPop(out (int Service, int Next) top))
            {
                if (top.Next == edges[top.Service].Count)
                {
                    marks[top.Service] = Mark.Done;
                    continue;
                }
                path.Push((top.Service, top.Next + 1));
                Edge edge = edges[top.Service][top.Next];
                if (marks[edge.To] == Mark.Open)
                    Report(diagnostics, services, path, edge);
                if (marks[edge.To] != Mark.New)
                    continue;
                marks[edge.To] = Mark.Open;
                path.Push((edge.To, 0));
            }
        }
    }

    private static bool IsOrdered(ServiceEntry service) =>
        !(service.Definition.Requires.IsEmpty && service.Definition.After.IsEmpty && service.Definition.Before.IsEmpty);

    private static List<Edge>[] FindEdges(List<ServiceEntry> services, Dictionary<string, int> indexes)
    {
        List<Edge>[] edges = [.. services.Select(_ => new List<Edge>())];
        for (int i = 0; i < services.Count; i++)
        {
            ServiceDefinition service = services[i].Definition;
            foreach ((string key, ServiceName name) in service.Requires.Select(n => ("requires", n)).Concat(service.After.Select(n => ("after", n))))
            {
                if (indexes.TryGetValue(name.Text, out int to))
                    Add(edges[i], new Edge(to, i, key));
            }
            foreach (ServiceName name in service.Before)
            {
                if (indexes.TryGetValue(name.Text, out int from))
                    Add(edges[from], new Edge(i, i, "before"));
            }
        }
        return edges;
    }

    // A service may be required and waited for: that is one edge, so that a cycle through it is told once.
    private static void Add(List<Edge> edges, Edge edge)
    {
        if (!edges.Exists(e => e.To == edge.To))
            edges.Add(edge);
    }

    private static void Report(DiagnosticBag diagnostics, List<ServiceEntry> services, IEnumerable<(int Service, int Next)> path, Edge closing)
    {
        // A stack gives its newest first, so the path is turned round to begin where the closing edge leads.
        IEnumerable<string> names = path.TakeWhile(p => p.Service != closing.To).Select(p => p.Service).Append(closing.To).Reverse().Append(closing.To)
            .Select(i => services[i].Definition.Name.Text);
        ServiceEntry writer = services[closing.Writer];
        diagnostics.Error(
            DiagnosticCode.DependencyCycle, writer.TableWith(closing.Key).SpanOf(closing.Key),
            $"{writer.Table.PathTo(closing.Key)}: services wait for each other: {string.Join(" -> ", names)}");
    }

    /// <summary>A service waits for <paramref name="To"/>, because <paramref name="Writer"/> says so in <paramref name="Key"/>.</summary>
    private readonly record struct Edge(int To, int Writer, string Key);
}
