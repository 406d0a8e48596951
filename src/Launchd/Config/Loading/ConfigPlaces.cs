using Launchd.Config.Reading;
using Launchd.Config.Sources;
using Launchd.Config.Tables;
using Launchd.Config.Toml;
using Launchd.Model;

namespace Launchd.Config.Loading;

/// <summary>Where the keys of sockets, files and services stand, for errors that are found after the reading.</summary>
internal sealed class ConfigPlaces
{
    private readonly Dictionary<string, TableReader> _sockets;
    private readonly IReadOnlyList<FileEntry> _files;
    private readonly IReadOnlyList<ServiceEntry> _services;

    public ConfigPlaces(IEnumerable<ListenerEntry> listeners, IReadOnlyList<FileEntry> files, IReadOnlyList<ServiceEntry> services)
    {
        _files = files;
        _services = services;
        // A socket that stands in two files is in the list twice, which has been reported.
        _sockets = listeners.GroupBy(l => l.Definition.Key, StringComparer.Ordinal)
            .ToDictionary(g => g.Key, g => g.First().Table, StringComparer.Ordinal);
    }

    /// <summary>The value of a key, or one element of it if it is a list; the table's name where the key is not written.</summary>
    public SourceSpan Of(string socket, string key, int element) => Of(_sockets[socket], key, element);

    /// <summary>The place of a service's key, or of the key of the defaults that holds for it.</summary>
    public SourceSpan OfService(ServiceName service, string key, int element)
    {
        ServiceEntry entry = _services.First(s => s.Definition.Name == service);
        return Of(entry.TableWith(key), key, element);
    }

    /// <summary>The place of a file's key.</summary>
    public SourceSpan OfFile(string file, string key) => Of(_files.First(f => f.Key == file).Table, key, 0);

    private static SourceSpan Of(TableReader table, string key, int element)
    {
        return table.Take(key) is { Kind: TomlKind.Array } list && element < list.Items.Count
            ? list.Items[element].Span
            : table.SpanOf(key);
    }
}
