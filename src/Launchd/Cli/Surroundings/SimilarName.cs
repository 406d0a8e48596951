namespace Launchd.Cli.Surroundings;

/// <summary>Finds the name that an operator may have meant who typed one that does not exist.</summary>
internal static class SimilarName
{
    /// <summary>The closest of <paramref name="known"/>, as a question to append, or nothing where none is close.</summary>
    public static string Hint(string typed, IEnumerable<string> known)
    {
        int most = Math.Max(1, typed.Length / 3);
        string? closest = known.MinBy(k => Distance(typed, k));
        return closest is not null && Distance(typed, closest) <= most ? $", did you mean '{closest}'?" : "";
    }

    /// <summary>Insertions, deletions, replacements and swaps of neighbours that lead from one text to the other.</summary>
    private static int Distance(string a, string b)
    {
        int[,] table = new int[a.Length + 1, b.Length + 1];
        for (int i = 0; i <= a.Length; i++)
            table[i, 0] = i;
        for (int j = 0; j <= b.Length; j++)
            table[0, j] = j;
        for (int i = 1; i <= a.Length; i++)
        {
            for (int j = 1; j <= b.Length; j++)
            {
                int replaced = table[i - 1, j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
                table[i, j] = Math.Min(replaced, Math.Min(table[i - 1, j], table[i, j - 1]) + 1);
                bool isSwap = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                if (isSwap)
                    table[i, j] = Math.Min(table[i, j], table[i - 2, j - 2] + 1);
            }
        }
        return table[a.Length, b.Length];
    }
}
