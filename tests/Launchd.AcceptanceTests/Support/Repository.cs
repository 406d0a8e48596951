using System.Collections.Concurrent;

namespace Launchd.AcceptanceTests.Support;

/// <summary>The repository on disk and what was built from it.</summary>
internal static class Repository
{
    private static readonly ConcurrentDictionary<string, Lazy<EntrableCopy>> Copies = [];

    /// <summary>The folder that holds <c>Launchd.sln</c>.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>A file that another project's build made, in the configuration in which these tests were built.</summary>
    public static string Built(string project, string file)
    {
        string configuration = Path.GetFileName(AppContext.BaseDirectory.TrimEnd('/'));
        string path = Path.Combine(Root, "artifacts", "bin", project, configuration, file);
        return File.Exists(path) ? path : throw new FileNotFoundException($"{path} is not built: run dotnet build Launchd.sln first");
    }

    /// <summary>The program under test: the words of <c>LAUNCHD_CS</c>, or what the solution built, run by <c>dotnet</c>.</summary>
    public static string[] LaunchdCommand { get; } =
        Environment.GetEnvironmentVariable("LAUNCHD_CS") is { Length: > 0 } given
            ? given.Split(' ', StringSplitOptions.RemoveEmptyEntries)
            : [DotnetPath, Built("Launchd", "launchd-cs.dll")];

    /// <summary>The <c>dotnet</c> that runs these tests, by its absolute path: services have a short <c>PATH</c>.</summary>
    public static string DotnetPath =>
        Environment.GetEnvironmentVariable("DOTNET_HOST_PATH") is { Length: > 0 } host ? host : Tool("dotnet") ?? "/usr/bin/dotnet";

    /// <summary>The same from <see cref="ForEverybody"/>, for tests that run it as another user.</summary>
    public static string[] LaunchdCommandForEverybody => [.. LaunchdCommand[..^1], ForEverybody(LaunchdCommand[^1])];

    /// <summary>
    /// A copy of a program that was built, in a folder that everybody may enter: the repository may lie below one that only its owner
    /// may enter. Made once, removed when the tests end.
    /// </summary>
    /// <param name="program">Path of a native program, or of an assembly, which is copied with all that lies beside it.</param>
    public static string ForEverybody(string program) => Copies.GetOrAdd(program, p => new(() => new EntrableCopy(p))).Value.Program;

    /// <summary>Where the <c>PATH</c> finds a program, or null.</summary>
    public static string? Tool(string name) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Append("/usr/sbin")
            .Select(d => Path.Combine(d, name))
            .FirstOrDefault(File.Exists);

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Launchd.sln")))
                return folder.FullName;
        }
        throw new InvalidOperationException($"no Launchd.sln above {AppContext.BaseDirectory}");
    }
}
