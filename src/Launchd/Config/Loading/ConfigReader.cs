using System.Collections.Immutable;
using Launchd.Config.Checking;
using Launchd.Config.Diagnostics;
using Launchd.Config.Reading;
using Launchd.Config.Sources;
using Launchd.Config.Tables;
using Launchd.Config.Toml;
using Launchd.Model;

namespace Launchd.Config.Loading;

/// <summary>
/// Reads a configuration: texts in, a definition or diagnostics out. Never throws for what a file holds; everything it depends on is in
/// the <see cref="ConfigSource"/>.
/// </summary>
internal sealed class ConfigReader
{
    private readonly ReadContext _context;
    private readonly List<ListenerEntry> _listeners = [];
    private readonly List<FileEntry> _files = [];
    private readonly List<ServiceEntry> _services = [];
    private readonly Dictionary<string, TableReader> _defined = new(StringComparer.Ordinal);
    private SupervisorSettings _settings = new();
    private TableReader? _defaults;
    private string? _name;
    private bool _hasSeveralFiles;

    private ConfigReader(ReadContext context) => _context = context;

    public static ConfigResult Read(ConfigSource source)
    {
        ReadContext context = new(source);
        using CollectorPause pause = new();
        DocumentLoader loader = new(context, pause);
        IReadOnlyList<TableReader> roots = loader.Load();
        ConfigReader reader = new(context);
        reader.ReadAll(roots);
        // If a file could not be read, references to its tables would look wrong, so they are not checked.
        if (!loader.HasUnreadFile)
            new CrossChecks(context, reader._listeners, reader._files, reader._services).Run();
        SupervisorDefinition? definition = context.Diagnostics.HasErrors ? null : reader.Define();
        return new ConfigResult(definition, context.Diagnostics.Sorted())
        {
            Places = new ConfigPlaces(reader._listeners, reader._files, reader._services),
        };
    }

    private void ReadAll(IReadOnlyList<TableReader> roots)
    {
        _hasSeveralFiles = roots.Count > 1;
        foreach (TableReader root in roots)
            ReadTop(root, isFirst: ReferenceEquals(root, roots[0]));
        ServiceDefinition based = ServiceReader.BuiltIn(_context.Source);
        if (_defaults is not null)
            based = ServiceReader.ReadDefaults(_defaults, based);
        // Services without a working directory of their own share one object with that of their file.
        foreach (TableReader root in roots)
            ReadEntries(root, based);
    }

    private void ReadTop(TableReader root, bool isFirst)
    {
        if (root.Take("name") is { } name)
            ReadName(root, name, isFirst);
        else if (isFirst)
            CheckStem(root);
        if (root.Table("supervisor", "write [supervisor]") is { } supervisor && IsFirstOf(supervisor))
            _settings = SupervisorReader.Read(supervisor);
        if (root.Table("defaults", "write [defaults]") is { } defaults && IsFirstOf(defaults))
            _defaults = defaults;
    }

    private void ReadName(TableReader root, TomlValue value, bool isFirst)
    {
        if (!isFirst)
        {
            root.Error(DiagnosticCode.KeyNotAllowedHere, "name", "belongs into the first file, which includes this one");
            return;
        }
        _name = root.NonEmpty("name", value);
        if (_name is null || ServiceName.IsValid(_name))
            return;
        root.Error(DiagnosticCode.BadName, "name", $"'{_name}' cannot be a name", NameForm);
        _name = null;
    }

    private void CheckStem(TableReader root)
    {
        string stem = Path.GetFileNameWithoutExtension(_context.Source.FilePath);
        if (ServiceName.IsValid(stem))
        {
            _name = stem;
        }
        else
        {
            root.Error(DiagnosticCode.BadName, "name",
                $"the file's name '{stem}' cannot be the supervisor's name", "add name = \"…\" at the top");
        }
    }

    private void ReadEntries(TableReader root, ServiceDefinition based)
    {
        foreach (TableReader table in root.Tables("sockets"))
        {
            if (IsNamedWell(table) && IsFirstOf(table))
                _listeners.Add(new ListenerEntry(ListenerReader.Read(table), table));
        }
        foreach (TableReader table in root.Tables("files"))
        {
            if (IsNamedWell(table) && IsFirstOf(table))
                _files.Add(new FileEntry(table.Name, FileReader.Read(table), table));
        }
        ServiceDefinition inThisFile = based;
        foreach (TableReader table in root.Tables("services"))
        {
            if (inThisFile.Execution.WorkingDirectory.Length == 0)
                inThisFile = based with { Execution = based.Execution with { WorkingDirectory = root.Source.DirectoryPath } };
            if (IsNamedWell(table) && IsFirstOf(table))
                _services.Add(ServiceReader.Read(table, inThisFile, _defaults));
        }
        root.ReportUnknown(KnownKeys.Root);
    }

    private const string NameForm = "use up to 64 letters, digits, '-', '_', '.' and '@', beginning with none of '-' and '.'";

    private static bool IsNamedWell(TableReader table)
    {
        if (ServiceName.IsValid(table.Name))
            return true;
        table.ErrorHere(DiagnosticCode.BadName, $"'{table.Name}' cannot be a name", NameForm);
        return false;
    }

    private bool IsFirstOf(TableReader table)
    {
        // Within one file TOML itself does not allow a table twice.
        if (!_hasSeveralFiles || _defined.TryAdd(table.Path, table))
            return true;
        table.ErrorHere(DiagnosticCode.DefinedTwice, $"is defined twice, first at {_defined[table.Path].KeySpan}");
        return false;
    }

    private SupervisorDefinition Define() => new()
    {
        Name = _name!,
        ConfigPath = _context.Source.FilePath,
        RuntimeDirectory = _settings.RuntimeDirectory ?? RuntimeDirectory(_context.Source, _name!),
        ControlMode = _settings.ControlMode,
        ControlUser = _settings.ControlUser,
        ControlGroup = _settings.ControlGroup,
        ProcessName = _settings.ProcessName,
        LogFormat = _settings.LogFormat,
        LogLevel = _settings.LogLevel,
        ShutdownTimeout = _settings.ShutdownTimeout,
        Keeper = _settings.Keeper,
        Listeners = [.. _listeners.Select(l => l.Definition)],
        Files = [.. _files.Select(f => f.Definition!)],
        Services = [.. _services.Select(s => s.Definition)],
    };

    /// <summary>Where a supervisor of that name keeps its sockets if its file does not say.</summary>
    public static string RuntimeDirectory(ConfigSource source, string name)
    {
        if (source.UserId == 0)
            return $"/run/launchd-cs/{name}";
        string? ofUser = source.Environment.GetValueOrDefault("XDG_RUNTIME_DIR");
        // The base directory specification: a relative path is to be ignored.
        return ofUser is ['/', ..] && source.IsOwnDirectory(ofUser)
            ? Path.Join(ofUser, "launchd-cs", name)
            : Path.Join(SharedDirectory(source.UserId), name);
    }

    /// <summary>
    /// The parent of runtime directories for users without XDG_RUNTIME_DIR. Others can guess the path, and make it first.
    /// </summary>
    public static string SharedDirectory(uint userId) => $"/tmp/launchd-cs-{userId}";
}
