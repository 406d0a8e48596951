using Launchd.Client;
using Launchd.Config.Comparing;
using Launchd.Host.Provisioning;
using Launchd.Linux.Paths;
using Launchd.Model;

namespace Launchd.Host.Reloading;

/// <summary>
/// Checks whether the services that a reload will start can be started, as far as that can be told without starting them: the user is
/// known; the program, the directory and the files that the service needs are there. Services that go on unchanged are not checked.
/// </summary>
internal static class ProgramCheck
{
    private const int AnyExecute = 0b001_001_001;

    /// <returns>One sentence about the first that is missing; null: all is there.</returns>
    public static string? Run(SupervisorDefinition definition, DefinitionDifference difference, UserTable users)
    {
        HashSet<string> started = [.. difference.Changes.Where(c => c.Table == "services"
            && (c.Kind == ChangeKind.Added || c.Effect == ChangeEffect.NewGeneration)).Select(c => c.Name)];
        foreach (ServiceDefinition service in definition.Services)
        {
            if (started.Contains(service.Name.Text) && Look(service, users[service.Execution]) is { } missing)
                return $"services.{service.Name}: {missing}";
        }
        return null;
    }

    private static string? Look(ServiceDefinition service, ResolvedUser user)
    {
        if (user.Problem is { } problem)
            return problem;
        Execution execution = service.Execution;
        if (FileStatus.ReadFollow(execution.WorkingDirectory, out FileStatus directory) is { Value: not 0 } noDirectory)
            return $"working_directory {execution.WorkingDirectory}: {noDirectory.Text}";
        if (directory.Kind != FileKind.Directory)
            return $"working_directory {execution.WorkingDirectory} is not a directory";
        Dictionary<string, string> variables = new(StringComparer.Ordinal);
        foreach (EnvironmentFile file in execution.EnvironmentFiles)
        {
            if (EnvironmentFileReader.Read(file, user.Credentials, variables, []) is { } unread)
                return $"environment_files {file.FilePath}: {unread}";
        }
        if (service.Input is InputSource.File input && FileStatus.ReadFollow(input.FilePath, out _) is { Value: not 0 } noInput)
            return $"input {input.FilePath}: {noInput.Text}";
        string? path = execution.Environment.FirstOrDefault(v => v.Name == "PATH" && !v.IsPassed).Value
            ?? variables.GetValueOrDefault("PATH") ?? execution.Environment.FirstOrDefault(v => v.Name == "PATH").Value;
        return FindProgram(service.Command[0], execution.WorkingDirectory, path);
    }

    private static string? FindProgram(string program, string directory, string? searchPath)
    {
        // With a placeholder in it, the name of the program is known only when an instance is made.
        if (program.Contains(Placeholders.Mark))
            return null;
        Errno refused = Errno.ENOENT;
        foreach (string candidate in ProgramSearch.CandidatesOf(program, searchPath))
        {
            Errno found = FileStatus.ReadFollow(Path.Combine(directory, candidate), out FileStatus status);
            if (found == Errno.None && status.Kind == FileKind.Regular && (status.Mode & AnyExecute) != 0)
                return null;
            refused = found == Errno.None ? Errno.EACCES : found == Errno.ENOENT ? refused : found;
        }
        if (program.Contains('/'))
            return $"command \"{program}\": {refused.Text}";
        string reason = refused == Errno.ENOENT ? "there is no such program" : refused.Text;
        return $"command \"{program}\": {reason} in {searchPath ?? "the standard path"}";
    }
}
