using System.Collections.Immutable;
using System.IO.Enumeration;
using Launchd.Config.Diagnostics;
using Launchd.Config.Sources;
using Launchd.Config.Tables;
using Launchd.Config.Toml;
using Launchd.Config.Values;
using Launchd.Model;

namespace Launchd.Config.Reading;

/// <summary>Reads the keys of a service that make up its surroundings.</summary>
internal static class ExecutionReader
{
    /// <summary>What programs expect to find, used when the supervisor was started without a PATH.</summary>
    public const string DefaultSearchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

    private static readonly string[] AlwaysPassed = ["HOME", "LANG", "PATH", "USER"];

    private static readonly string[] GroupKeys = ["group", "supplementary_groups"];

    private static readonly ResourceNames Resources = new();

    /// <summary>The environment of a service without keys for it: the variables that pass from the supervisor's.</summary>
    public static ImmutableArray<EnvironmentVariable> BaseEnvironment(ConfigSource source)
    {
        List<EnvironmentVariable> variables = [];
        foreach (string name in AlwaysPassed)
        {
            string? value = source.Environment.GetValueOrDefault(name) ?? (name == "PATH" ? DefaultSearchPath : null);
            if (value is not null && IsRepresentable(value))
                variables.Add(new EnvironmentVariable(name, value) { IsPassed = true });
        }
        return [.. variables];
    }

    /// <summary>Returns <paramref name="fallback"/> itself if the table changes nothing, so that services share it.</summary>
    public static Execution Read(TableReader table, Execution fallback)
    {
        if (!table.HasAny(KnownKeys.Execution) && fallback.WorkingDirectory.Length > 0)
            return fallback;
        string? user = table.String("user", null) ?? fallback.User;
        Execution execution = new()
        {
            User = user,
            Environment = ReadEnvironment(table, fallback, dropIdentity: user is not null && fallback.User is null),
            EnvironmentFiles = ReadEnvironmentFiles(table, fallback.EnvironmentFiles),
            WorkingDirectory = table.FullPath("working_directory", null)
                ?? (fallback.WorkingDirectory.Length > 0 ? fallback.WorkingDirectory : table.Source.DirectoryPath),
            Umask = ReadUmask(table, fallback.Umask),
            Group = table.String("group", null) ?? fallback.Group,
            SupplementaryGroups = table.Strings("supplementary_groups", fallback.SupplementaryGroups),
            Limits = ReadLimits(table, fallback.Limits),
            Nice = table.IntOrNull("nice", -20, 19) ?? fallback.Nice,
            OomScoreAdjust = table.IntOrNull("oom_score_adjust", -1000, 1000) ?? fallback.OomScoreAdjust,
            Capabilities = CapabilityParser.Read(table, "capabilities") ?? fallback.Capabilities,
            AmbientCapabilities = CapabilityParser.Read(table, "ambient_capabilities") ?? fallback.AmbientCapabilities,
            NoNewPrivileges = table.Bool("no_new_privileges", fallback.NoNewPrivileges),
            ParentDeathSignal = PolicyReader.Signal(table, "parent_death_signal") ?? fallback.ParentDeathSignal,
            IgnoreSigpipe = table.Bool("ignore_sigpipe", fallback.IgnoreSigpipe),
            Cgroup = PolicyReader.Cgroup(table, fallback.Cgroup),
        };
        CheckPrivileges(table, execution);
        return table.Context.Shared(execution);
    }

    private static void CheckPrivileges(TableReader table, Execution execution)
    {
        ConfigSource source = table.Context.Source;
        if (source.UserId == 0)
            return;
        if (table.Has("user") && execution.User is { } user && !UserRule.MayUse(source, user))
            table.Error(DiagnosticCode.NeedsRoot, "user", $"only root can start a program as user '{user}'", UserRule.Hint);
        foreach (string key in GroupKeys.Where(table.Has))
            table.Error(DiagnosticCode.NeedsRoot, key, "only root can change the groups of a program", UserRule.Hint);
    }

    private static int ReadUmask(TableReader table, int fallback)
    {
        int mask = table.Mode("umask", fallback);
        if (mask <= 0b111_111_111)
            return mask;
        table.Error(DiagnosticCode.OutOfRange, "umask", $"{Convert.ToString(mask, 8)} is out of range 0-0777");
        return fallback;
    }

    private static ImmutableArray<EnvironmentVariable> ReadEnvironment(TableReader table, Execution fallback, bool dropIdentity)
    {
        if (!dropIdentity && !table.HasAny(["environment", "pass_environment"]))
            return fallback.Environment;
        // In order; a later variable replaces an earlier one of the same name.
        OrderedDictionary<string, EnvironmentVariable> variables = new(StringComparer.Ordinal);
        foreach (EnvironmentVariable variable in fallback.Environment)
        {
            if (!(dropIdentity && variable is { IsPassed: true, Name: "HOME" or "USER" }))
                variables[variable.Name] = variable;
        }
        foreach (EnvironmentVariable variable in ReadPassed(table))
        {
            if (!variables.TryGetValue(variable.Name, out EnvironmentVariable known) || known.IsPassed)
                variables[variable.Name] = variable;
        }
        if (table.Table("environment", "write { NAME = \"value\" }") is { } below)
        {
            foreach (TomlEntry entry in below.Entries)
            {
                if (ReadVariable(below, entry) is { } value)
                    variables[entry.Key] = new EnvironmentVariable(entry.Key, value);
            }
        }
        return [.. variables.Values];
    }

    private static string? ReadVariable(TableReader table, TomlEntry entry)
    {
        TomlValue value = table.Take(entry.Key)!;
        if (!EnvironmentVariable.IsName(entry.Key))
        {
            table.Context.Diagnostics.Error(
                DiagnosticCode.BadName, entry.KeySpan, $"{table.Path}: '{entry.Key}' cannot be the name of an environment variable",
                "a name has no blank, no control character and no '='");
            return null;
        }
        switch (value.Kind)
        {
            case TomlKind.String:
                return table.TextOf(entry.Key, value, PlaceholderUse.Instance);
            case TomlKind.Integer:
                return value.Number.ToString();
            case TomlKind.Boolean:
                return value.Flag ? "true" : "false";
            default:
                table.WrongType(entry.Key, value, "a string, an integer or a boolean", null);
                return null;
        }
    }

    private static IEnumerable<EnvironmentVariable> ReadPassed(TableReader table)
    {
        foreach (TomlValue item in table.Elements("pass_environment"))
        {
            if (table.NonEmpty("pass_environment", item) is not { } pattern)
                continue;
            foreach ((string name, string value) in table.Context.Source.Environment.OrderBy(v => v.Key, StringComparer.Ordinal))
            {
                if (!FileSystemName.MatchesSimpleExpression(pattern, name, ignoreCase: false))
                    continue;
                string? fault = !EnvironmentVariable.IsName(name) ? "that cannot be the name of an environment variable"
                    : !IsRepresentable(value) ? "it holds a character that is reserved (U+E000)" : null;
                if (fault is null)
                    yield return new EnvironmentVariable(name, value) { IsPassed = true };
                else
                    table.Warning(DiagnosticCode.VariableLeftOut, "pass_environment", $"the variable '{name}' is left out: {fault}");
            }
        }
    }

    private static bool IsRepresentable(string value) => !value.AsSpan().ContainsAny(Placeholders.Mark, '\0');

    private static ImmutableArray<EnvironmentFile> ReadEnvironmentFiles(TableReader table, ImmutableArray<EnvironmentFile> fallback)
    {
        if (!table.Has("environment_files"))
            return fallback;
        List<EnvironmentFile> files = [];
        foreach (TomlValue item in table.Elements("environment_files"))
        {
            if (table.NonEmpty("environment_files", item) is not { } text)
                continue;
            bool isOptional = text[0] == '-';
            if (text.Length == 1 && isOptional)
                table.Error(DiagnosticCode.EmptyValue, "environment_files", item, "names no file behind '-'");
            else if (table.FullPathOf("environment_files", item, isOptional ? text[1..] : text) is { } path)
                files.Add(new EnvironmentFile(path, isOptional));
        }
        return [.. files];
    }

    private static ImmutableArray<ResourceLimit> ReadLimits(TableReader table, ImmutableArray<ResourceLimit> fallback)
    {
        if (table.Table("limits", "write { nofile = 65536 }") is not { } below)
            return fallback;
        SortedDictionary<ResourceKind, ResourceLimit> limits = new(fallback.ToDictionary(l => l.Kind));
        foreach (TomlEntry entry in below.Entries)
        {
            if (Resources.Find(entry.Key) is not { } kind)
                continue;
            entry.IsTaken = true;
            if (ReadLimit(below, entry, kind) is { } limit)
                limits[kind] = limit;
        }
        below.ReportUnknown(Resources.All);
        return [.. limits.Values];
    }

    private static ResourceLimit? ReadLimit(TableReader table, TomlEntry entry, ResourceKind kind)
    {
        const string form = "write a number, a size, \"soft:hard\" or \"infinity\"";
        TomlValue value = entry.Value;
        if (value.Kind == TomlKind.Integer)
        {
            if (value.Number >= 0)
                return new ResourceLimit(kind, (ulong)value.Number, (ulong)value.Number);
            table.Error(DiagnosticCode.OutOfRange, entry.Key, value, $"{value.Number} is negative", form);
            return null;
        }
        if (table.TextOf(entry.Key, value, form: form) is not { } text)
            return null;
        int colon = text.IndexOf(':');
        ulong? soft = ParseLimit(colon < 0 ? text : text[..colon]);
        ulong? hard = colon < 0 ? soft : ParseLimit(text[(colon + 1)..]);
        if (soft is null || hard is null)
            table.Error(DiagnosticCode.BadForm, entry.Key, value, $"'{text}' is not a limit", form);
        else if (soft > hard)
            table.Error(DiagnosticCode.Contradiction, entry.Key, value, "the soft limit is above the hard one");
        else
            return new ResourceLimit(kind, soft.Value, hard.Value);
        return null;
    }

    private static ulong? ParseLimit(string text) =>
        text is "infinity" or "unlimited"
            ? ResourceLimit.Infinity
            : Quantities.ParseSize(text) is { } size and < long.MaxValue ? (ulong)size : null;

    /// <summary>The limits' names as the configuration spells them.</summary>
    private sealed class ResourceNames
    {
        private readonly ResourceKind[] _kinds = Enum.GetValues<ResourceKind>();

        public string[] All { get; }

        public ResourceNames() => All = [.. _kinds.Select(k => k.ToString().ToLowerInvariant())];

        public ResourceKind? Find(string name) => Array.IndexOf(All, name) is >= 0 and int index ? _kinds[index] : null;
    }
}
