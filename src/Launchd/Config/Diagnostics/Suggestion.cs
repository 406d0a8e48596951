namespace Launchd.Config.Diagnostics;

/// <summary>Finds the known name that a misspelled one may have meant.</summary>
internal static class Suggestion
{
    /// <summary>A hint for a name that does not exist, or null if nothing resembles it.</summary>
    public static string? For(string written, IEnumerable<string> known) =>
        Nearest(written, known) is { } name ? $"did you mean '{name}'?" : null;

    /// <summary>The nearest of the known names within a third of the length in edits (at least one), or null.</summary>
    public static string? Nearest(string written, IEnumerable<string> known)
    {
        if (written.Length is 0 or > 64)
            return null;
        string? best = null;
        int bestDistance = Math.Max(1, written.Length / 3) + 1;
        foreach (string name in known)
        {
            if (Math.Abs(name.Length - written.Length) >= bestDistance)
                continue;
            int distance = Distance(written, name);
            if (distance < bestDistance)
                (best, bestDistance) = (name, distance);
        }
        return best ?? known.FirstOrDefault(
            n => n.Length > written.Length && written.Length >= 3 && n.StartsWith(written, StringComparison.Ordinal));
    }

    // Optimal string alignment: insert, delete, replace, or swap two neighbours; case and -/_ are free.
    private static int Distance(string left, string right)
    {
        int[] twoBack = new int[right.Length + 1];
        int[] back = new int[right.Length + 1];
        int[] row = new int[right.Length + 1];
        for (int j = 0; j <= right.Length; j++)
            back[j] = j;
        for (int i = 1; i <= left.Length; i++)
        {
            row[0] = i;
            for (int j = 1; j <= right.Length; j++)
            {
                int cost = Same(left[i - 1], right[j - 1]) ? 0 : 1;
                row[j] = Math.Min(Math.Min(row[j - 1], back[j]) + 1, back[j - 1] + cost);
                if (i > 1 && j > 1 && Same(left[i - 1], right[j - 2]) && Same(left[i - 2], right[j - 1]))
                    row[j] = Math.Min(row[j], twoBack[j - 2] + 1);
            }
            (twoBack, back, row) = (back, row, twoBack);
        }
        return back[right.Length];
    }

    private static bool Same(char left, char right) => Folded(left) == Folded(right);

    private static char Folded(char c) => c == '-' ? '_' : char.ToLowerInvariant(c);
}
