using System.Globalization;

namespace Launchd.Linux.Paths;

/// <summary>Which users a user namespace knows, user_namespaces(7): the lines of <c>uid_map</c>.</summary>
internal sealed class UserMap
{
    private readonly List<(uint First, uint Outside, uint Count)> _ranges = [];

    private UserMap()
    {
    }

    /// <summary>
    /// Whether each user has the same number in the namespace and outside of it, which is how the initial namespace looks. A namespace that
    /// was made to look like it has more than one line, so that it can be told apart.
    /// </summary>
    public bool IsInitial => _ranges is [(0, 0, uint.MaxValue)];

    /// <summary>The map of the namespace of this process; null: it cannot be read, as where the kernel has no user namespaces.</summary>
    public static UserMap? OfThisProcess() => Files.ReadText("/proc/self/uid_map") is { } text ? Parse(text) : null;

    /// <summary>Reads a map; null: the text is none.</summary>
    public static UserMap? Parse(string text)
    {
        UserMap map = new();
        foreach (string line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            string[] fields = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (fields.Length != 3 || Number(fields[0]) is not { } first || Number(fields[1]) is not { } outside
                || Number(fields[2]) is not { } count)
            {
                return null;
            }
            map._ranges.Add((first, outside, count));
        }
        return map;
    }

    /// <summary>Whether the namespace knows a user, by the number that the user has in it.</summary>
    public bool Knows(uint uid) => _ranges.Exists(r => uid >= r.First && uid - r.First < r.Count);

    private static uint? Number(string text) =>
        uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out uint number) ? number : null;
}
