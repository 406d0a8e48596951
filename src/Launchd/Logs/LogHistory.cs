using System.Globalization;
using Launchd.Control;

namespace Launchd.Logs;

/// <summary>The last lines of every slot that has written any. A slot without output costs nothing.</summary>
internal sealed class LogHistory
{
    private readonly Dictionary<(string Service, int Slot), LineRing> _rings = [];
    private readonly LineMemory _memory = new();

    public LineRing RingOf(string service, int slot)
    {
        if (!_rings.TryGetValue((service, slot), out LineRing? ring))
            _rings.Add((service, slot), ring = new LineRing(_memory));
        return ring;
    }

    /// <summary>The newest <paramref name="count"/> lines of each of these services (null: of all), in the order of writing.</summary>
    public LogLine[] Tail(IReadOnlyCollection<string>? services, int count)
    {
        var found = new List<(long Sequence, LogLine Line)>();
        foreach (IGrouping<string, KeyValuePair<(string Service, int Slot), LineRing>> group in _rings.GroupBy(r => r.Key.Service))
        {
            if (services is not null && !services.Contains(group.Key))
                continue;
            var lines = new List<(long Sequence, LogLine Line)>();
            foreach (KeyValuePair<(string Service, int Slot), LineRing> slot in group)
            {
                slot.Value.ForEach(
                    (stamp, line) => lines.Add((stamp.Sequence, ToLogLine(stamp, group.Key, slot.Key.Slot, line))), newest: count);
            }
            found.AddRange(lines.OrderBy(l => l.Sequence).TakeLast(count));
        }
        return [.. found.OrderBy(l => l.Sequence).Select(l => l.Line)];
    }

    /// <summary>
    /// The newest lines of one instance, as text. Of a line that is longer than <see cref="LineMemory.ShortBytes"/>, only the beginning.
    /// </summary>
    public string[] TailOfInstance(string service, int slot, long instanceId, int count)
    {
        if (!_rings.TryGetValue((service, slot), out LineRing? ring))
            return [];
        var lines = new Queue<string>();
        ring.ForEach((stamp, line) =>
        {
            if (stamp.InstanceId != instanceId || count == 0)
                return;
            if (lines.Count == count)
                lines.Dequeue();
            const int most = LineMemory.ShortBytes;
            int length = line.Length > most ? LineSplitter.CutLength(line[..most], line[most]) : line.Length;
            LineCut cut = stamp.Cut | (length < line.Length ? LineCut.AtEnd : LineCut.None);
            lines.Enqueue(ToLogLine(stamp with { Cut = cut }, service, slot, line[..length]).Marked());
        });
        return [.. lines];
    }

    /// <summary>Frees the lines of a service that the configuration no longer has.</summary>
    public void Forget(string service)
    {
        foreach ((string Service, int Slot) key in _rings.Keys.Where(k => k.Service == service).ToArray())
        {
            if (_rings.Remove(key, out LineRing? ring))
                ring.Forget();
        }
    }

    public static LogLine ToLogLine(in LineStamp stamp, string service, int slot, ReadOnlySpan<byte> line) =>
        new(FormatTime(stamp.UnixMicroseconds), service, slot, LineEscaper.ToText(line), LineObject.WordOf(stamp.Cut));

    /// <summary>ISO 8601 in UTC with microseconds: <c>2026-01-31T12:00:00.123456Z</c>.</summary>
    public static string FormatTime(long unixMicroseconds) =>
        DateTime.UnixEpoch.AddTicks(unixMicroseconds * TimeSpan.TicksPerMicrosecond)
            .ToString("yyyy-MM-ddTHH:mm:ss.ffffffZ", CultureInfo.InvariantCulture);

    public static bool TryFormatTime(long unixMicroseconds, Span<byte> target, out int length) =>
        DateTime.UnixEpoch.AddTicks(unixMicroseconds * TimeSpan.TicksPerMicrosecond)
            .TryFormat(target, out length, "yyyy-MM-ddTHH:mm:ss.ffffffZ", CultureInfo.InvariantCulture);
}
