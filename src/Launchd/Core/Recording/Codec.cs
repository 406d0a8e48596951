using System.Formats.Cbor;
using Launchd.Model;

namespace Launchd.Core.Recording;

/// <summary>How values of one type are written and read.</summary>
internal abstract class Codec<T>
{
    public abstract void Write(RecordWriter to, T value);

    /// <summary>Reads what <see cref="Write"/> wrote, or refuses it: see <see cref="RefusedRecordException"/>.</summary>
    public abstract T Read(RecordReader from);

    /// <summary>Whether two values mean the same, so that one need not be written where the other is taken for granted.</summary>
    public virtual bool AreSame(T one, T other) => EqualityComparer<T>.Default.Equals(one, other);
}

/// <summary>A type that has nothing within it.</summary>
/// <param name="write">Writes one.</param>
/// <param name="read">Reads it.</param>
/// <param name="areSame">Whether two are written alike; null: if they are equal.</param>
internal sealed class ValueCodec<T>(Action<RecordWriter, T> write, Func<RecordReader, T> read, Func<T, T, bool>? areSame = null) : Codec<T>
{
    public override void Write(RecordWriter to, T value) => write(to, value);

    public override T Read(RecordReader from) => read(from);

    public override bool AreSame(T one, T other) => areSame?.Invoke(one, other) ?? base.AreSame(one, other);
}

/// <summary>Writes one record after the other into the same memory.</summary>
/// <param name="numberOf">The number of a service's definition, which has a record of its own.</param>
internal sealed class RecordWriter(Func<ServiceDefinition, long> numberOf)
{
    private byte[] _content = new byte[1024];

    public CborWriter Cbor { get; } = new(CborConformanceMode.Lax);

    public long NumberOf(ServiceDefinition definition) => numberOf(definition);

    /// <summary>One record, valid until the next.</summary>
    public ReadOnlySpan<byte> Make<T>(Codec<T> codec, T value)
    {
        Cbor.Reset();
        codec.Write(this, value);
        if (Cbor.BytesWritten > _content.Length)
            _content = new byte[Cbor.BytesWritten * 2];
        return _content.AsSpan(0, Cbor.Encode(_content));
    }
}

/// <summary>Reads records one after the other.</summary>
/// <param name="serviceCount">How many services there are: what numbers of services may be.</param>
internal sealed class RecordReader(int serviceCount)
{
    /// <summary>More is no record: a service with a thousand slots has some hundred thousand bytes.</summary>
    private const int MostBytes = 32 << 20;

    /// <summary>
    /// Items of all lists of one record: each may be one byte here and a hundred in memory. An order for 100,000 services has some 300,000.
    /// </summary>
    private const int MostItems = 1 << 20;

    /// <summary>Of what is skipped: the package remembers each level that it is in.</summary>
    private const int MostLevels = 32;

    private int _items;

    public CborReader Cbor { get; } = new(default, CborConformanceMode.Lax);

    public int ServiceCount => serviceCount;

    /// <summary>The definitions to which records refer; they are read first.</summary>
    public Dictionary<long, ServiceDefinition> Definitions { get; } = [];

    /// <summary>The orders to which the frame refers; they are read before it.</summary>
    public Dictionary<long, PendingRequest> Requests { get; } = [];

    public ServiceDefinition DefinitionOf(long number) =>
        Definitions.GetValueOrDefault(number) ?? throw new RefusedRecordException($"there is no definition {number}");

    public PendingRequest RequestOf(long number) =>
        Requests.GetValueOrDefault(number) ?? throw new RefusedRecordException($"there is no order {number}");

    /// <exception cref="RefusedRecordException">The record is no such value.</exception>
    public T Read<T>(RecordKey key, ReadOnlyMemory<byte> content, Codec<T> codec)
    {
        try
        {
            if (content.Length > MostBytes)
                throw new RefusedRecordException($"it has {content.Length} bytes");
            Cbor.Reset(content);
            _items = 0;
            T value = codec.Read(this);
            return Cbor.BytesRemaining == 0 ? value : throw new RefusedRecordException("something follows its end");
        }
        catch (RefusedRecordException refused)
        {
            throw new RefusedRecordException($"{NameOf(key)}: {refused.Message}");
        }
        catch (Exception damage) when (damage is CborContentException or InvalidOperationException or OverflowException)
        {
            throw new RefusedRecordException($"{NameOf(key)}: it is cut short, or something in it is of another kind");
        }
    }

    /// <summary>One item of a list is about to be read.</summary>
    public void CountItem()
    {
        if (++_items > MostItems)
            throw new RefusedRecordException($"its lists have more than {MostItems} items");
    }

    /// <summary>Passes over a value of whatever kind.</summary>
    public void Skip() => Skip(MostLevels);

    private void Skip(int levels)
    {
        if (levels == 0)
            throw new RefusedRecordException($"something in it has more than {MostLevels} levels");
        switch (Cbor.PeekState())
        {
            case CborReaderState.StartArray:
                Cbor.ReadStartArray();
                while (Cbor.PeekState() != CborReaderState.EndArray)
                    Skip(levels - 1);
                Cbor.ReadEndArray();
                break;
            case CborReaderState.StartMap:
                Cbor.ReadStartMap();
                while (Cbor.PeekState() != CborReaderState.EndMap)
                    Skip(levels - 1);
                Cbor.ReadEndMap();
                break;
            case CborReaderState.Tag:
                Cbor.ReadTag();
                Skip(levels - 1);
                break;
            default:
                Cbor.SkipValue();
                break;
        }
    }

    public static string NameOf(RecordKey key) => key.Kind switch
    {
        RecordKind.Configuration => "the record of the configuration",
        RecordKind.Frame => "the record of the frame",
        RecordKind.Effects => "the record of the effects",
        _ => $"the record of {key.Kind.ToString().ToLowerInvariant()} {key.Number}",
    };
}

/// <summary>A record cannot be what the core has written; the message is a sentence for people.</summary>
internal sealed class RefusedRecordException(string message) : Exception(message);
