using System.Collections.Immutable;
using System.Formats.Cbor;

namespace Launchd.Core.Recording;

/// <summary>A value, or null.</summary>
internal sealed class OptionalCodec<T>(Codec<T> codec) : Codec<T?>
    where T : class
{
    public override void Write(RecordWriter to, T? value)
    {
        if (value is null)
            to.Cbor.WriteNull();
        else
            codec.Write(to, value);
    }

    public override T? Read(RecordReader from) => Values.TakeNull(from) ? null : codec.Read(from);

    public override bool AreSame(T? one, T? other) =>
        one is null || other is null ? ReferenceEquals(one, other) : codec.AreSame(one, other);
}

/// <summary>A list. One that was never set is empty.</summary>
internal sealed class ListCodec<T>(Codec<T> codec) : Codec<ImmutableArray<T>>
{
    public override void Write(RecordWriter to, ImmutableArray<T> value)
    {
        ReadOnlySpan<T> items = value.AsSpan();
        to.Cbor.WriteStartArray(items.Length);
        foreach (T item in items)
            codec.Write(to, item);
        to.Cbor.WriteEndArray();
    }

    public override ImmutableArray<T> Read(RecordReader from)
    {
        ImmutableArray<T>.Builder items = ImmutableArray.CreateBuilder<T>();
        from.Cbor.ReadStartArray();
        while (from.Cbor.PeekState() != CborReaderState.EndArray)
        {
            from.CountItem();
            items.Add(codec.Read(from));
        }
        from.Cbor.ReadEndArray();
        return items.DrainToImmutable();
    }

    public override bool AreSame(ImmutableArray<T> one, ImmutableArray<T> other)
    {
        ReadOnlySpan<T> first = one.AsSpan(), second = other.AsSpan();
        if (first.Length != second.Length)
            return false;
        for (int i = 0; i < first.Length; i++)
        {
            if (!codec.AreSame(first[i], second[i]))
                return false;
        }
        return true;
    }
}
