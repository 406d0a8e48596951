namespace Launchd.Host.Provisioning;

/// <summary>Where a program of a given name is looked for.</summary>
internal static class ProgramSearch
{
    /// <summary>The files that a program's name may mean, in the order of the search.</summary>
    public static string[] CandidatesOf(string program, string? searchPath)
    {
        if (program.Contains('/'))
            return [program];
        string[] directories = (searchPath ?? "/usr/local/bin:/usr/bin:/bin").Split(':', StringSplitOptions.RemoveEmptyEntries);
        return [.. directories.Select(d => $"{d.TrimEnd('/')}/{program}")];
    }
}
