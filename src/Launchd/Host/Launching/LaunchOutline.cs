using System.Collections.Frozen;
using Launchd.Host.Instances;
using Launchd.Host.Listeners;
using Launchd.Host.Provisioning;
using Launchd.Model;

namespace Launchd.Host.Launching;

/// <summary>
/// What is the same at every birth of a definition: its limits, and its environment and command, as far as these hold no placeholders and
/// come from no files. So the texts are not made anew each time that a program is started over and over.
/// </summary>
internal sealed class LaunchOutline
{
    /// <summary>What the terminal of a program understands, term(7): nearly every one that an operator attaches with does.</summary>
    private const string TerminalType = "xterm-256color";

    // The supervisor alone sets these variables; what a file or an environment says under these names is not passed on.
    private static readonly FrozenSet<string> Protocol = FrozenSet.Create(StringComparer.Ordinal,
        "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "LISTEN_PIDFDID", "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "FDSTORE",
        "LAUNCHD_CHANNEL", "LAUNCHD_PID", "LAUNCHD_SERVICE", "LAUNCHD_SLOT", "LAUNCHD_GENERATION",
        InstanceMark.NumberName, InstanceMark.VariableName);

    private LaunchOutline(ServiceDefinition definition, ResolvedUser user, (ulong Soft, ulong Hard) inheritedFileLimit)
    {
        Definition = definition;
        User = user;
        List<(int, ulong, ulong)> limits = [.. definition.Execution.Limits.Select(LimitCeiling.Resolve)];
        // The supervisor raised its own limit of descriptors; programs that use select(2) must not inherit that.
        if (inheritedFileLimit.Soft != inheritedFileLimit.Hard && definition.Execution.Limits.All(l => l.Kind != ResourceKind.Nofile))
            limits.Add(((int)ResourceKind.Nofile, inheritedFileLimit.Soft, inheritedFileLimit.Hard));
        Limits = limits;
    }

    public ServiceDefinition Definition { get; }

    public ResolvedUser User { get; }

    public IReadOnlyList<(int Resource, ulong Soft, ulong Hard)> Limits { get; }

    /// <summary><c>NAME=VALUE</c> without the protocol's variables. Null: it differs from birth to birth.</summary>
    public IReadOnlyList<string>? Environment { get; private init; }

    /// <summary>The <c>PATH</c> of <see cref="Environment"/>.</summary>
    public string? SearchPath { get; private init; }

    /// <summary>The command and where its program is looked for. Null: it differs from birth to birth.</summary>
    public (string[] Arguments, string[] Candidates)? Command { get; private init; }

    /// <param name="definition">Whose births.</param>
    /// <param name="user">Who it runs as.</param>
    /// <param name="inheritedFileLimit">The limit of open files that the supervisor had before it raised it.</param>
    /// <param name="before">The outline of another service, which often has the same environment. Null: there is none.</param>
    public static LaunchOutline Of(
        ServiceDefinition definition, ResolvedUser user, (ulong Soft, ulong Hard) inheritedFileLimit, LaunchOutline? before)
    {
        Execution execution = definition.Execution;
        if (!execution.EnvironmentFiles.IsEmpty || execution.Environment.Any(v => Placeholders.AreIn(v.Value)))
            return new LaunchOutline(definition, user, inheritedFileLimit);
        (IReadOnlyList<string> texts, string? searchPath) =
            before is { Environment: { } same } && before.HasSameEnvironment(definition, user)
                ? (same, before.SearchPath)
                : EnvironmentOf(definition, user);
        bool isSame = !definition.Command.Any(Placeholders.AreIn);
        return new LaunchOutline(definition, user, inheritedFileLimit)
        {
            Environment = texts,
            SearchPath = searchPath,
            Command = isSame ? ([.. definition.Command], ProgramSearch.CandidatesOf(definition.Command[0], searchPath)) : null,
        };
    }

    private bool HasSameEnvironment(ServiceDefinition definition, ResolvedUser user) =>
        User == user && Definition.HasTerminal == definition.HasTerminal
        && (Definition.Start == StartKind.Connection) == (definition.Start == StartKind.Connection)
        && Definition.Execution.Environment.AsSpan().SequenceEqual(definition.Execution.Environment.AsSpan());

    private static (List<string> Texts, string? SearchPath) EnvironmentOf(ServiceDefinition definition, ResolvedUser user)
    {
        Dictionary<string, string> variables = Begin(definition, user);
        foreach (EnvironmentVariable set in definition.Execution.Environment.Where(v => !v.IsPassed))
            variables[set.Name] = set.Value;
        return (Texts(variables, definition), variables.GetValueOrDefault("PATH"));
    }

    /// <summary>What the environment begins with: the supervisor's own variables and those of the user.</summary>
    public static Dictionary<string, string> Begin(ServiceDefinition definition, ResolvedUser user)
    {
        Dictionary<string, string> variables = new(StringComparer.Ordinal);
        if (definition.HasTerminal)
            variables["TERM"] = TerminalType;
        foreach (EnvironmentVariable passed in definition.Execution.Environment.Where(v => v.IsPassed))
            variables[passed.Name] = passed.Value;
        if (user.Name is not { } name)
            return variables;
        variables["USER"] = variables["LOGNAME"] = name;
        variables["HOME"] = user.Home ?? "/";
        if (user.Shell is { Length: > 0 } shell)
            variables["SHELL"] = shell;
        return variables;
    }

    /// <summary>Variables as <c>NAME=VALUE</c>, without those of the protocol.</summary>
    public static List<string> Texts(Dictionary<string, string> variables, ServiceDefinition definition)
    {
        List<string> texts = new(variables.Count);
        foreach ((string name, string value) in variables)
        {
            bool isOfConnection = definition.Start == StartKind.Connection && AcceptedConnection.Variables.Contains(name);
            if (!isOfConnection && !Protocol.Contains(name))
                texts.Add($"{name}={value}");
        }
        return texts;
    }
}
