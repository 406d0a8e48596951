using System.Collections.Immutable;
using Launchd.Addresses;
using Launchd.Config.Diagnostics;
using Launchd.Config.Reading;
using Launchd.Config.Tables;
using Launchd.Config.Toml;
using Launchd.Model;

namespace Launchd.Config.Checking;

/// <summary>
/// Checks what must agree between tables: references, addresses, and which service uses which socket or file. The rules
/// of one service are in <see cref="ServiceChecks"/>.
/// </summary>
internal sealed class CrossChecks
{
    private static readonly List<ListenerDefinition> _noListeners = [];

    private readonly ReadContext _context;
    private readonly List<ListenerEntry> _listeners;
    private readonly List<FileEntry> _files;
    private readonly List<ServiceEntry> _services;
    private readonly Dictionary<string, ListenerEntry> _listenersByKey;
    private readonly Dictionary<string, ServiceEntry> _servicesByName;
    private readonly HashSet<string> _fileKeys;
    private readonly HashSet<string> _usedSockets = new(StringComparer.Ordinal);
    private readonly HashSet<string> _usedFiles = new(StringComparer.Ordinal);
    private readonly HashSet<string> _connectionSockets = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _triggers = new(StringComparer.Ordinal);
    private readonly DescriptorPlaceholders _placeholders = new();

    public CrossChecks(ReadContext context, List<ListenerEntry> listeners, List<FileEntry> files, List<ServiceEntry> services)
    {
        _context = context;
        _listeners = listeners;
        _files = files;
        _services = services;
        _listenersByKey = listeners.ToDictionary(l => l.Definition.Key, StringComparer.Ordinal);
        _servicesByName = services.ToDictionary(s => s.Definition.Name.Text, StringComparer.Ordinal);
        _fileKeys = files.Select(f => f.Key).ToHashSet(StringComparer.Ordinal);
    }

    public void Run()
    {
        CheckAddresses();
        foreach (ServiceEntry service in _services)
        {
            CheckReferences(service);
            List<ListenerDefinition> listeners = ListenersOf(service.Definition);
            // Rules about a service's sockets are not checked while one of the sockets is unknown.
            if (listeners.Count == service.Definition.Sockets.Length)
            {
                ServiceChecks.Check(service, listeners);
                ProgramChecks.Check(service, listeners);
            }
            CheckTriggers(service);
        }
        DependencyCycles.Check(_context.Diagnostics, _services);
        CheckUse();
    }

    private List<ListenerDefinition> ListenersOf(ServiceDefinition service)
    {
        if (service.Sockets.IsEmpty)
            return _noListeners;
        List<ListenerDefinition> listeners = new(service.Sockets.Length);
        foreach (string socket in service.Sockets)
        {
            if (_listenersByKey.TryGetValue(socket, out ListenerEntry? listener))
                listeners.Add(listener.Definition);
        }
        return listeners;
    }

    private void CheckAddresses()
    {
        Dictionary<string, string> users = new(StringComparer.Ordinal);
        foreach (ListenerEntry listener in _listeners)
        {
            for (int i = 0; i < listener.Definition.Addresses.Length; i++)
            {
                ListenAddress address = listener.Definition.Addresses[i];
                // Each port 0 becomes another port.
                if (address is ListenAddress.Tcp { Port: 0 } or ListenAddress.Udp { Port: 0 })
                    continue;
                CheckPlace(listener, "listen", address.Path ?? address.ToString(), address.ToString(), users);
            }
            foreach (string path in listener.Definition.Symlinks)
                CheckPlace(listener, "symlinks", path, path, users);
        }
        CoveredAddresses.Check(_listeners);
    }

    private static void CheckPlace(ListenerEntry listener, string key, string place, string shown, Dictionary<string, string> users)
    {
        if (users.TryAdd(place, listener.Definition.Key))
            return;
        TomlValue at = ElementOf(listener.Table, key, text => shown.EndsWith(text, StringComparison.Ordinal)) ?? listener.Table.Take(key)!;
        listener.Table.Error(DiagnosticCode.DuplicateAddress, key, at, $"{shown} is taken already by sockets.{users[place]}");
    }

    private void CheckReferences(ServiceEntry service)
    {
        ServiceDefinition definition = service.Definition;
        CheckServices(service, "requires", definition.Requires);
        CheckServices(service, "wants", definition.Wants);
        CheckServices(service, "after", definition.After);
        CheckServices(service, "before", definition.Before);
        CheckEnds(service, "requires", definition.Requires);
        CheckEnds(service, "after", definition.After);
        foreach (string socket in definition.Sockets)
        {
            CheckName(service, "sockets", socket, "socket", _listenersByKey.Keys);
            _usedSockets.Add(socket);
            if (definition.Start == StartKind.Connection)
                _connectionSockets.Add(socket);
        }
        foreach (string file in definition.Files)
        {
            CheckName(service, "files", file, "file", _fileKeys);
            _usedFiles.Add(file);
        }
        foreach (ShareRule rule in definition.Share)
        {
            foreach (string name in rule.Services.Where(s => s != "*"))
                CheckName(service, "share", name, "service", _servicesByName.Keys);
        }
        foreach (RequestRule rule in definition.Request)
            CheckName(service, "request", rule.Service, "service", _servicesByName.Keys);
        _placeholders.Check(service, DescriptorNames);
    }

    private void CheckServices(ServiceEntry service, string key, ImmutableArray<ServiceName> names)
    {
        foreach (ServiceName name in names)
            CheckName(service, key, name.Text, "service", _servicesByName.Keys);
    }

    // What is written so is meant to do something once, and whoever names it means its end; but nobody waits for that.
    private void CheckEnds(ServiceEntry service, string key, ImmutableArray<ServiceName> names)
    {
        foreach (ServiceName name in names)
        {
            if (!_servicesByName.TryGetValue(name.Text, out ServiceEntry? other)
                || other.Definition is not { Restart: RestartKind.Never, Ready: Readiness.Spawned }
                || (key == "after" && service.Definition.Requires.Contains(name)))
            {
                continue;
            }
            TableReader table = service.TableWith(key);
            TomlValue at = ElementOf(table, key, text => text == name.Text) ?? table.Take(key)!;
            _context.Diagnostics.Warning(DiagnosticCode.EndNotAwaited, at.Span,
                $"{table.PathTo(key)}: does not wait for the end of '{name}', which is ready as soon as it was started",
                $"write ready = \"exited\" for services.{name}, if it does something once and ends");
        }
    }

    private List<string> DescriptorNames(ServiceDefinition service)
    {
        List<string> names = [.. service.Sockets, .. service.Files];
        foreach (string socket in service.Sockets)
        {
            if (_listenersByKey.TryGetValue(socket, out ListenerEntry? listener))
                names.Add(listener.Definition.Name);
        }
        return names;
    }

    private static void CheckName(ServiceEntry service, string key, string name, string kind, ICollection<string> known)
    {
        if (!known.Contains(name))
            ReportUnknown(service, key, name, kind, known);
    }

    private static void ReportUnknown(ServiceEntry service, string key, string name, string kind, ICollection<string> known)
    {
        TableReader table = service.TableWith(key);
        TomlValue? at = ElementOf(table, key, text => text == name || text.StartsWith(name + "/", StringComparison.Ordinal));
        table.Error(
            DiagnosticCode.UnknownReference, key, at ?? table.Take(key)!, $"there is no {kind} '{name}'", Suggestion.For(name, known));
    }

    // Two services woken by one socket would both accept from it, and which one gets a connection would be chance.
    private void CheckTriggers(ServiceEntry service)
    {
        if (service.Definition.Start is not (StartKind.Demand or StartKind.Connection))
            return;
        foreach (string socket in service.Definition.Sockets)
        {
            if (_triggers.TryAdd(socket, service.Definition.Name.Text))
                continue;
            service.Table.Error(
                DiagnosticCode.SharedTrigger, "sockets",
                ElementOf(service.Table, "sockets", text => text == socket) ?? service.Table.Take("sockets")!,
                $"socket '{socket}' starts services.{_triggers[socket]} already",
                "which of them took a connection would be chance: give one of them another socket, or start = \"boot\"");
        }
    }

    private void CheckUse()
    {
        foreach (ListenerEntry listener in _listeners)
        {
            TableReader table = listener.Table;
            if (!_usedSockets.Contains(listener.Definition.Key))
            {
                _context.Diagnostics.Warning(DiagnosticCode.NeverUsed, table.KeySpan, $"{table.Path}: no service uses this socket",
                    $"write sockets = [\"{table.Name}\"] for a service, or leave it out");
            }
            else if (!_triggers.ContainsKey(listener.Definition.Key) && table.Has("trigger_limit"))
            {
                table.Warning(DiagnosticCode.NoEffect, "trigger_limit", "has no effect: no service is started by this socket",
                    "it is for a service with start = \"demand\" or \"connection\"");
            }
            foreach (string key in ConnectionKeys.Where(key => table.Has(key) && !_connectionSockets.Contains(listener.Definition.Key)))
                table.Warning(DiagnosticCode.NoEffect, key, "has no effect without a service with start = \"connection\"");
        }
        foreach (FileEntry file in _files.Where(f => !_usedFiles.Contains(f.Key)))
        {
            _context.Diagnostics.Warning(DiagnosticCode.NeverUsed, file.Table.KeySpan, $"{file.Table.Path}: no service uses this file",
                $"write files = [\"{file.Key}\"] for a service, or leave it out");
        }
    }

    private static readonly string[] ConnectionKeys = ["max_connections", "max_connections_per_source"];

    /// <summary>The last string below a key's value that satisfies a condition: where to put the caret.</summary>
    public static TomlValue? ElementOf(TableReader table, string key, Func<string, bool> condition) =>
        table.Take(key) is { } value ? Find(value, condition) : null;

    private static TomlValue? Find(TomlValue value, Func<string, bool> condition)
    {
        if (value.Kind == TomlKind.String)
            return condition(value.Text) ? value : null;
        IEnumerable<TomlValue> below = value.Table is { } table ? table.Entries.Select(e => e.Value) : value.Items;
        return below.Reverse().Select(item => Find(item, condition)).FirstOrDefault(found => found is not null);
    }
}
