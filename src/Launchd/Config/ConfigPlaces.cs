namespace Launchd.Config;

/// <summary>Where the keys of sockets stand, for what is found wrong with them after the reading.</summary>
internal sealed class ConfigPlaces
{
    private readonly Dictionary<string, TableReader> _sockets;

    public ConfigPlaces(IEnumerable<ListenerEntry> listeners)
    {
        // One that stands in two files is there twice; that was told.
        _sockets = listeners.GroupBy(l => l.Definition.Key, StringComparer.Ordinal).ToDictionary(g => g.Key, g => g.First().Table, StringComparer.Ordinal);
    }

    /// <summary>The value of a key, or one element of it if it is a list; the table's name where the key is not written.</summary>
    public SourceSpan Of(string socket, string key, int element)
    {
        TableReader table = _sockets[socket];
        return table.Take(key) is { Kind: TomlKind.Array } list && element < list.Items.Count ? list.Items[element].Span : table.SpanOf(key);
    }
}
