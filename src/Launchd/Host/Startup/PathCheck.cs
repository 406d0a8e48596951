using Launchd.Config.Diagnostics;
using Launchd.Config.Loading;
using Launchd.Config.Sources;
using Launchd.Host.Listeners;
using Launchd.Host.Provisioning;
using Launchd.Interop;
using Launchd.Linux.Paths;
using Launchd.Model;

namespace Launchd.Host.Startup;

/// <summary>
/// Finds paths that a supervisor of root would open, and about which another user decides: for <c>check</c>. The start is not refused for
/// such a path; but what lies there by then may be refused, and the operator should know why.
/// </summary>
internal static class PathCheck
{
    private const string Remedy = "what is not that user's own there is opened with the service's rights or not at all; "
        + "a directory that root alone may change keeps it out of others' hands";

    /// <summary>
    /// Gives a warning for each such path. Nothing unless root asks: no other supervisor has more rights than its services.
    /// </summary>
    public static IEnumerable<Diagnostic> Run(ConfigResult read)
    {
        if (Libc.geteuid() != 0)
            yield break;
        SupervisorDefinition definition = read.Definition!;
        UserTable users = new(definition);
        foreach (ServiceDefinition service in definition.Services)
        {
            Credentials? user = users[service.Execution].Credentials;
            foreach ((string key, int element, string path) in PathsOf(service))
            {
                if (WhoElse(path, user) is { } text)
                    yield return Warn(read.Places.OfService(service.Name, key, element), $"services.{service.Name}.{key}: {text}");
            }
        }
        ILookup<string, ServiceDefinition> readers = DescriptorTable.ReadersOf(definition);
        foreach (FileDefinition file in definition.Files)
        {
            (string key, string? path) = file switch
            {
                FileDefinition.Opened opened => ("path", opened.FilePath),
                FileDefinition.Directory directory => ("directory", directory.DirectoryPath),
                _ => ("", null),
            };
            if (path is not null && WhoElse(path, DescriptorTable.UserOf(readers[file.Key], users)) is { } text)
                yield return Warn(read.Places.OfFile(file.Key, key), $"files.{file.Key}.{key}: {text}");
        }
    }

    private static IEnumerable<(string Key, int Element, string Path)> PathsOf(ServiceDefinition service)
    {
        if (service.Input is InputSource.File input)
            yield return ("input", 0, input.FilePath);
        if (service.Output is OutputTarget.File output)
            yield return ("output", 0, output.FilePath);
        if (service.Error is OutputTarget.File error && service.Error != service.Output)
            yield return ("error", 0, error.FilePath);
        if (service.Log is { } log)
            yield return ("log", 0, log.In(slot: 0).FilePath);
        for (int i = 0; i < service.Execution.EnvironmentFiles.Length; i++)
            yield return ("environment_files", i, service.Execution.EnvironmentFiles[i].FilePath);
    }

    private static string? WhoElse(string path, Credentials? user)
    {
        using PathWalk walk = PathWalk.Along(path, user);
        if (walk.Decider is not { } decider)
            return null;
        string who = decider == PathWalk.Anybody ? "others than root" : $"user {decider}";
        return walk.Link is { } link
            ? $"{link.Path}, a link that {who} decides about, leads to {link.Target}"
            : $"{who} may put anything at {walk.DecidedAt}";
    }

    private static Diagnostic Warn(SourceSpan at, string text) =>
        new(DiagnosticSeverity.Warning, DiagnosticCode.OthersDecide, at, text, Remedy);
}
