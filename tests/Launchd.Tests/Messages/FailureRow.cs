namespace Launchd.Tests.Messages;

/// <summary>
/// One failure that is made on purpose, and what is said about it. In the list a row is a paragraph of lines <c>key: value</c>:
/// <c>toml</c> is a line of a configuration (<c>user</c>: whose supervisor reads it, root if absent), <c>run</c> a command line,
/// <c>reply</c> what a supervisor answers to it; <c>exit</c> the exit code, <c>says</c> the sentence, <c>place</c> the part of what is
/// printed that says where it is, <c>remedy</c> the part that says what to do, <c>-</c> if the sentence says all that is to be known.
/// </summary>
internal sealed record FailureRow(int Line, ILookup<string, string> Values)
{
    private static readonly string[] Keys = ["toml", "user", "run", "reply", "exit", "says", "place", "remedy"];

    public static IReadOnlyList<FailureRow> All { get; } =
        [.. Parse(File.ReadAllLines(Path.Combine(AppContext.BaseDirectory, "Messages", "Failures.txt")))];

    public string Toml => string.Concat(Values["toml"].Select(line => line + "\n"));
    public bool IsConfiguration => Values["toml"].Any();
    public uint UserId => Values["user"].Select(uint.Parse).FirstOrDefault();
    public string Run => Values["run"].FirstOrDefault() ?? "";
    public string? Reply => Values["reply"].FirstOrDefault();
    public int Exit => int.Parse(Values["exit"].Single());
    public string Says => string.Join('\n', Values["says"]);
    public string Place => Values["place"].Single();
    public string? Remedy => Values["remedy"].Single() is "-" ? null : Values["remedy"].Single();

    public static IEnumerable<FailureRow> Parse(string[] lines)
    {
        List<(string Key, string Value)> values = [];
        for (int i = 0; i <= lines.Length; i++)
        {
            string line = i < lines.Length ? lines[i] : "";
            if (line.StartsWith('#'))
                continue;
            if (line.Length > 0)
            {
                string[] parts = line.Split(':', 2);
                if (parts.Length < 2 || !Keys.Contains(parts[0]))
                    throw new FormatException($"Failures.txt:{i + 1}: a line begins with one of {string.Join(", ", Keys)} and a colon");
                values.Add((parts[0], parts[1].Length > 0 ? parts[1][1..] : ""));
            }
            else if (values.Count > 0)
            {
                yield return new FailureRow(i - values.Count + 1, values.ToLookup(v => v.Key, v => v.Value));
                values.Clear();
            }
        }
    }
}
