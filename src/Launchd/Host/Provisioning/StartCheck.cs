using System.Collections.Immutable;
using Launchd.Client;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using Launchd.Linux.Terminals;
using Launchd.Model;

namespace Launchd.Host.Provisioning;

/// <summary>Something that a service cannot be started with.</summary>
/// <param name="Key">The key of the service that says so.</param>
/// <param name="Element">If the key is a list, which of its elements, from 0.</param>
/// <param name="Text">What is wrong, as the rest of a sentence that begins with the key.</param>
internal readonly record struct StartFault(string Key, int Element, string Text)
{
    /// <summary>It will not pass by itself, as a program does that has not been installed yet.</summary>
    public bool IsLasting { get; init; }

    /// <summary>It does not keep the service from being started.</summary>
    public bool IsHarmless { get; init; }
}

/// <summary>
/// Finds out, as far as that can be told without starting a service, whether it can be started: whether its limits can be set, and its
/// program, its directory and its files are there.
/// </summary>
internal static class StartCheck
{
    /// <summary>What is wrong, in the order in which a start would meet it.</summary>
    /// <param name="service">As configured.</param>
    /// <param name="user">Who it runs as; without a problem.</param>
    public static IEnumerable<StartFault> FaultsOf(ServiceDefinition service, ResolvedUser user)
    {
        Execution execution = service.Execution;
        if (LimitCeiling.FaultOf(execution.Limits.Select(LimitCeiling.Resolve)) is { } ceiling)
            yield return new StartFault("limits", 0, "." + ceiling) { IsLasting = true };
        bool hasDirectory = true;
        if (WhyNoDirectory(execution.WorkingDirectory) is { } noDirectory)
        {
            hasDirectory = false;
            yield return new StartFault("working_directory", 0, $" {execution.WorkingDirectory}{noDirectory}");
        }
        Dictionary<string, string> variables = new(StringComparer.Ordinal);
        for (int i = 0; i < execution.EnvironmentFiles.Length; i++)
        {
            EnvironmentFile file = execution.EnvironmentFiles[i];
            List<string> warnings = [];
            if (EnvironmentFileReader.Read(file, user.Credentials, variables, warnings) is { } unread)
                yield return new StartFault("environment_files", i, $" {file.FilePath}: {unread}");
            foreach (string warning in warnings)
                yield return new StartFault("environment_files", i, ": " + warning) { IsHarmless = true };
        }
        if (service.Input is InputSource.File input && FileStatus.ReadFollow(input.FilePath, out _) is { Value: not 0 } noInput)
            yield return new StartFault("input", 0, $" {input.FilePath}: {noInput.Text}");
        if (service.HasTerminal && WhyNoTerminal() is { } noTerminal)
            yield return new StartFault("terminal", 0, $": {noTerminal}");
        IEnumerable<(string, string)> known = variables.Select(v => (v.Key, v.Value))
            .Concat(execution.Environment.Where(v => !variables.ContainsKey(v.Name) || !v.IsPassed).Select(v => (v.Name, v.Value)));
        if (ArgumentSpace.TooLongOf(service.Command, known) is { } tooLong)
            yield return new StartFault("command", 0, $": {Errno.E2BIG.Text} ({tooLong})");
        if (!hasDirectory)
            yield break;
        string? path = execution.Environment.FirstOrDefault(v => v.Name == "PATH" && !v.IsPassed).Value
            ?? variables.GetValueOrDefault("PATH") ?? execution.Environment.FirstOrDefault(v => v.Name == "PATH").Value;
        foreach ((string key, ImmutableArray<string> command, bool isMain) in CommandsOf(service))
        {
            // With a placeholder in it, the name of the program is known only when an instance is made.
            if (command.IsDefaultOrEmpty || Placeholders.AreIn(command[0]))
                continue;
            string[] candidates = ProgramSearch.CandidatesOf(command[0], path);
            if (ProgramFault.Find(command[0], candidates, execution.WorkingDirectory, user.Credentials) is { } fault)
                yield return new StartFault(key, 0, $" \"{command[0]}\": {fault}") { IsHarmless = !isMain };
        }
    }

    private static IEnumerable<(string Key, ImmutableArray<string> Command, bool IsMain)> CommandsOf(ServiceDefinition service)
    {
        yield return ("command", service.Command, true);
        yield return ("stop_command", service.Stop.Command, false);
        if (service.Reload is ReloadAction.Command reload)
            yield return ("reload", reload.Arguments, false);
        if (service.Ready is Readiness.Probed { Target: ProbeTarget.Command ready })
            yield return ("ready", ready.Arguments, false);
        if (service.Health?.Target is ProbeTarget.Command health)
            yield return ("health", health.Arguments, false);
    }

    private static string? WhyNoTerminal()
    {
        if (!PseudoTerminal.Open(owner: null).TryGet(out PseudoTerminal terminal, out OpenFailure? failure))
            return failure.ToString();
        terminal.Dispose();
        return null;
    }

    private static string? WhyNoDirectory(string path)
    {
        if (FileStatus.ReadFollow(path, out FileStatus directory) is { Value: not 0 } missing)
            return $": {missing.Text}";
        return directory.Kind == FileKind.Directory ? null : " is not a directory";
    }
}
