using System.Formats.Cbor;

namespace Launchd.Core.Recording;

/// <summary>
/// A record type as a map: one line for each property, which says under which number it is written, how, and where it goes when it is read.
/// What is as in the blank value is left out, and a number that is not known is skipped, so that a newer layout can be read by older code
/// and the other way round. A number is never given to another property.
/// </summary>
/// <param name="name">For people, when a value is refused.</param>
/// <param name="blank">What a map without entries means.</param>
/// <param name="isSound">Whether the core could bear what was read; null: whatever it is.</param>
internal sealed class Layout<T>(string name, T blank, Func<T, bool>? isSound = null) : Codec<T>
    where T : notnull
{
    private Field[] _fields = [];

    public Layout<T> With<TValue>(int number, Codec<TValue> codec, Func<T, TValue> get, Func<T, TValue, T> set)
    {
        int before = _fields.Length;
        if (before <= number)
        {
            Array.Resize(ref _fields, number + 1);
            _fields.AsSpan(before).Fill(Unknown.Value);
        }
        if (_fields[number] != Unknown.Value)
            throw new ArgumentException($"{name} has {number} twice", nameof(number));
        _fields[number] = new Known<TValue>(number, codec, get, set, get(blank));
        return this;
    }

    public override void Write(RecordWriter to, T value)
    {
        to.Cbor.WriteStartMap(null);
        foreach (Field field in _fields)
            field.Write(to, value);
        to.Cbor.WriteEndMap();
    }

    public override T Read(RecordReader from)
    {
        T value = blank;
        from.Cbor.ReadStartMap();
        while (from.Cbor.PeekState() is CborReaderState state and not CborReaderState.EndMap)
        {
            ulong number = ulong.MaxValue;
            if (state == CborReaderState.UnsignedInteger)
                number = from.Cbor.ReadUInt64();
            else
                from.Skip();
            value = (number < (ulong)_fields.Length ? _fields[(int)number] : Unknown.Value).Read(from, value);
        }
        from.Cbor.ReadEndMap();
        return isSound?.Invoke(value) == false ? throw new RefusedRecordException($"{name} cannot be so") : value;
    }

    public override bool AreSame(T one, T other)
    {
        if (!typeof(T).IsValueType && ReferenceEquals(one, other))
            return true;
        if (one is null || other is null)
            return false;
        foreach (Field field in _fields)
        {
            if (!field.AreSame(one, other))
                return false;
        }
        return true;
    }

    private abstract class Field
    {
        public abstract void Write(RecordWriter to, T of);
        public abstract bool AreSame(T one, T other);
        public abstract T Read(RecordReader from, T into);
    }

    private sealed class Unknown : Field
    {
        public static readonly Unknown Value = new();

        public override void Write(RecordWriter to, T of)
        {
        }

        public override bool AreSame(T one, T other) => true;

        public override T Read(RecordReader from, T into)
        {
            from.Skip();
            return into;
        }
    }

    private sealed class Known<TValue>(int number, Codec<TValue> codec, Func<T, TValue> get, Func<T, TValue, T> set, TValue usual) : Field
    {
        public override void Write(RecordWriter to, T of)
        {
            TValue value = get(of);
            // Most of what a record can have is nothing, and a record is written with each step: no comparison of values is made for that.
            if (typeof(TValue).IsValueType ? codec.AreSame(value, usual) : ReferenceEquals(value, usual) || codec.AreSame(value, usual))
                return;
            to.Cbor.WriteInt32(number);
            codec.Write(to, value);
        }

        public override T Read(RecordReader from, T into) => set(into, codec.Read(from));

        public override bool AreSame(T one, T other)
        {
            TValue value = get(one), another = get(other);
            return (!typeof(TValue).IsValueType && ReferenceEquals(value, another)) || codec.AreSame(value, another);
        }
    }
}

/// <summary>A closed family: the number of the case, then the case. A number is never given to another case.</summary>
/// <param name="name">For people, when a value is refused.</param>
internal sealed class Family<T>(string name) : Codec<T>
    where T : class
{
    private readonly Dictionary<Type, Case> _byType = [];
    private readonly Dictionary<int, Case> _byNumber = [];

    public Family<T> With<TCase>(int number, Layout<TCase> layout)
        where TCase : class, T
    {
        Case added = new Case<TCase>(number, layout);
        _byType.Add(typeof(TCase), added);
        _byNumber.Add(number, added);
        return this;
    }

    /// <summary>Whether values of this type are written at all.</summary>
    public bool Has(T value) => _byType.ContainsKey(value.GetType());

    public override void Write(RecordWriter to, T value)
    {
        to.Cbor.WriteStartArray(2);
        _byType[value.GetType()].Write(to, value);
        to.Cbor.WriteEndArray();
    }

    public override T Read(RecordReader from)
    {
        from.Cbor.ReadStartArray();
        int number = from.Cbor.ReadInt32();
        if (!_byNumber.TryGetValue(number, out Case? found))
            throw new RefusedRecordException($"{name} {number} is not known");
        T value = found.Read(from);
        from.Cbor.ReadEndArray();
        return value;
    }

    // The blank value of what must be there is null.
    public override bool AreSame(T one, T other) =>
        ReferenceEquals(one, other)
        || (one is not null && other is not null && one.GetType() == other.GetType() && _byType[one.GetType()].AreSame(one, other));

    private abstract class Case
    {
        public abstract void Write(RecordWriter to, T value);
        public abstract bool AreSame(T one, T other);
        public abstract T Read(RecordReader from);
    }

    private sealed class Case<TCase>(int number, Layout<TCase> layout) : Case
        where TCase : class, T
    {
        public override void Write(RecordWriter to, T value)
        {
            to.Cbor.WriteInt32(number);
            layout.Write(to, (TCase)value);
        }

        public override T Read(RecordReader from) => layout.Read(from);

        public override bool AreSame(T one, T other) => layout.AreSame((TCase)one, (TCase)other);
    }
}
