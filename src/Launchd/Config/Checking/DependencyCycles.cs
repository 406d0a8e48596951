using Launchd.Config.Diagnostics;
using Launchd.Config.Reading;
using Launchd.Model;

namespace Launchd.Config.Checking;

/// <summary>Finds services that wait for each other through <c>requires</c>, <c>after</c> and <c>before</c>.</summary>
internal static class DependencyCycles
{
    /// <summary>So many names of a long cycle are shown from its beginning, and as many from its end.</summary>
    private const int MostNames = 8;

    private enum Mark { New, Open, Done }

    /// <summary>Reports each cycle once, at a key that is part of it.</summary>
    public static void Check(DiagnosticBag diagnostics, List<ServiceEntry> services)
    {
        if (!services.Exists(IsOrdered))
            return;
        Dictionary<string, int> indexes =
            services.Index().ToDictionary(s => s.Item.Definition.Name.Text, s => s.Index, StringComparer.Ordinal);
        List<Edge>[] edges = FindEdges(services, indexes);
        Mark[] marks = new Mark[services.Count];
        // Not by recursion: a file can hold a chain longer than a stack.
        List<(int Service, int Next)> path = [];
        int[] places = new int[services.Count];
        for (int start = 0; start < services.Count; start++)
        {
            if (marks[start] == Mark.New)
                Enter(start);
            while (path.Count > 0)
            {
                (int service, int next) = path[^1];
                if (next == edges[service].Count)
                {
                    marks[service] = Mark.Done;
                    path.RemoveAt(path.Count - 1);
                    continue;
                }
                path[^1] = (service, next + 1);
                Edge edge = edges[service][next];
                if (marks[edge.To] == Mark.Open)
                    Report(diagnostics, services, path, places[edge.To], edge);
                else if (marks[edge.To] == Mark.New)
                    Enter(edge.To);
            }
        }

        void Enter(int service)
        {
            marks[service] = Mark.Open;
            places[service] = path.Count;
            path.Add((service, 0));
        }
    }

    private static bool IsOrdered(ServiceEntry service) =>
        !(service.Definition.Requires.IsEmpty && service.Definition.After.IsEmpty && service.Definition.Before.IsEmpty);

    private static List<Edge>[] FindEdges(List<ServiceEntry> services, Dictionary<string, int> indexes)
    {
        List<Edge>[] edges = [.. services.Select(_ => new List<Edge>())];
        // One service may stand in both requires and after of another: that is one edge, so that a cycle through it is reported once.
        HashSet<(int From, int To)> known = [];
        for (int i = 0; i < services.Count; i++)
        {
            ServiceDefinition service = services[i].Definition;
            foreach ((string key, ServiceName name) in service.Requires.Select(n => ("requires", n))
                .Concat(service.After.Select(n => ("after", n))))
            {
                if (indexes.TryGetValue(name.Text, out int to) && known.Add((i, to)))
                    edges[i].Add(new Edge(to, i, key));
            }
            foreach (ServiceName name in service.Before)
            {
                if (indexes.TryGetValue(name.Text, out int from) && known.Add((from, i)))
                    edges[from].Add(new Edge(i, i, "before"));
            }
        }
        return edges;
    }

    private static void Report(
        DiagnosticBag diagnostics, List<ServiceEntry> services, List<(int Service, int Next)> path, int from, Edge closing)
    {
        List<string> names = [];
        for (int place = from; place < path.Count; place++)
        {
            // The wrong key of a long cycle is most likely where it closes, and thousands of names between do not help to find it.
            int skipped = path.Count - MostNames - place;
            if (place == from + MostNames && skipped > 1)
            {
                names.Add($"({skipped} more)");
                place += skipped;
            }
            names.Add(services[path[place].Service].Definition.Name.Text);
        }
        names.Add(services[closing.To].Definition.Name.Text);
        ServiceEntry writer = services[closing.Writer];
        diagnostics.Error(
            DiagnosticCode.DependencyCycle, writer.TableWith(closing.Key).SpanOf(closing.Key),
            $"{writer.Table.PathTo(closing.Key)}: services wait for each other: {string.Join(" -> ", names)}",
            "take one of them out of requires, after or before; 'wants' starts the other without waiting");
    }

    /// <summary>A service waits for <paramref name="To"/>, because <paramref name="Writer"/> says so in <paramref name="Key"/>.</summary>
    private readonly record struct Edge(int To, int Writer, string Key);
}
