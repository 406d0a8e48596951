using Launchd.Linux;

namespace Launchd.Host;

/// <summary>Files of NAME=VALUE lines, as systemd and Compose read them: comments with # or ;, quotes around a value are taken off.</summary>
internal static class EnvironmentFileReader
{
    private const int MostBytes = 1 << 20;

    /// <summary>Adds what stands in the file. Null, or what is wrong with it.</summary>
    public static string? Read(string path, Dictionary<string, string> variables)
    {
        if (Files.ReadText(path, MostBytes) is not { } text)
            return "it cannot be read";
        foreach (string raw in text.Split('\n'))
        {
            string line = raw.Trim();
            if (line.Length == 0 || line[0] is '#' or ';')
                continue;
            if (line.StartsWith("export ", StringComparison.Ordinal))
                line = line["export ".Length..].TrimStart();
            int equals = line.IndexOf('=');
            if (equals <= 0 || line.Contains('\0'))
                return $"\"{line}\" is not NAME=VALUE";
            variables[line[..equals].TrimEnd()] = Unquote(line[(equals + 1)..].Trim());
        }
        return null;
    }

    private static string Unquote(string value) =>
        value.Length >= 2 && value[0] is '"' or '\'' && value[^1] == value[0] ? value[1..^1] : value;
}
