using System.Buffers.Binary;
using System.Collections.Immutable;
using System.Formats.Cbor;
using System.Net;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Launchd.Core.Instances;
using Launchd.Model;

namespace Launchd.Core.Recording;

/// <summary>The types of which the others are made.</summary>
internal static class Values
{
    /// <summary>So that no sum of a few of these overflows.</summary>
    private static readonly TimeSpan LongestSpan = TimeSpan.FromDays(36_500);
    private const long LargestNumber = 1L << 60;
    private const int LargestCount = 1 << 30;

    public static readonly Codec<bool> Bool = new ValueCodec<bool>((w, v) => w.Cbor.WriteBoolean(v), r => r.Cbor.ReadBoolean());
    public static readonly Codec<int> Int = new ValueCodec<int>((w, v) => w.Cbor.WriteInt32(v), r => r.Cbor.ReadInt32());
    public static readonly Codec<long> Long = new ValueCodec<long>((w, v) => w.Cbor.WriteInt64(v), r => r.Cbor.ReadInt64());
    public static readonly Codec<uint> UInt = new ValueCodec<uint>((w, v) => w.Cbor.WriteUInt32(v), r => r.Cbor.ReadUInt32());
    public static readonly Codec<ulong> ULong = new ValueCodec<ulong>((w, v) => w.Cbor.WriteUInt64(v), r => r.Cbor.ReadUInt64());

    /// <summary>How many of something that is counted, from 0.</summary>
    public static readonly Codec<int> Count = new ValueCodec<int>(
        (w, v) => w.Cbor.WriteInt32(v), r => (int)Within(r.Cbor.ReadInt64(), LargestCount));

    /// <summary>A number that goes up for ever, from 0.</summary>
    public static readonly Codec<long> Number = new ValueCodec<long>(
        (w, v) => w.Cbor.WriteInt64(v), r => Within(r.Cbor.ReadInt64(), LargestNumber));

    public static readonly Codec<double> Factor = new ValueCodec<double>(
        (w, v) => w.Cbor.WriteDouble(v),
        r => r.Cbor.ReadDouble() is double v and >= -1e15 and <= 1e15 ? v : throw new RefusedRecordException("a factor is out of range"));

    /// <summary>
    /// Text of whatever characters. What has halves of pairs is written as bytes, two for each character: text of CBOR is UTF-8, which has
    /// no room for a half, and the kernel's bytes that are no UTF-8 are kept as such.
    /// </summary>
    public static readonly Codec<string> Text = new ValueCodec<string>(
        (w, v) =>
        {
            if (v.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF'))
                w.Cbor.WriteByteString(MemoryMarshal.AsBytes(v.AsSpan()));
            else
                w.Cbor.WriteTextString(v);
        },
        r => r.Cbor.PeekState() == CborReaderState.ByteString
            ? new string(MemoryMarshal.Cast<byte, char>(r.Cbor.ReadByteString()))
            : r.Cbor.ReadTextString());

    public static readonly Codec<string?> TextOrNull = OrNone(Text);

    public static readonly Codec<TimeSpan> Span = new ValueCodec<TimeSpan>(
        (w, v) => w.Cbor.WriteInt64(v.Ticks),
        r => r.Cbor.ReadInt64() is long ticks && ticks <= LongestSpan.Ticks && ticks >= -LongestSpan.Ticks
            ? new TimeSpan(ticks)
            : throw new RefusedRecordException("a time is out of range"));

    /// <summary>Of any size: a program may ask for a limit that lies centuries ahead.</summary>
    public static readonly Codec<Moment> Moments = new ValueCodec<Moment>(
        (w, v) => w.Cbor.WriteInt64(v.Nanoseconds), r => new Moment(r.Cbor.ReadInt64()));

    /// <summary>Its text is null where it names no service: the timer of the whole shutdown.</summary>
    public static readonly Codec<ServiceName> Name = new ValueCodec<ServiceName>(
        (w, v) => TextOrNull.Write(w, v.Text), r => new ServiceName(TextOrNull.Read(r)!));

    public static readonly Codec<SignalNumber> Signal = new ValueCodec<SignalNumber>(
        (w, v) => w.Cbor.WriteInt32(v.Value),
        r => new SignalNumber(r.Cbor.ReadInt32() is int v and >= 1 and <= 64
            ? v : throw new RefusedRecordException("there is no such signal")));

    public static readonly Codec<InstanceId> InstanceIds = new ValueCodec<InstanceId>(
        (w, v) => WritePair(w, Name, v.Service, Number, v.Number), r =>
        {
            (ServiceName service, long number) = ReadPair(r, Name, Number);
            return new InstanceId(service, number);
        });

    public static readonly Codec<RequestId> Request = new ValueCodec<RequestId>(
        (w, v) => w.Cbor.WriteInt64(v.Number), r => new RequestId(r.Cbor.ReadInt64()));

    public static readonly Codec<ConnectionId> Connection = new ValueCodec<ConnectionId>(
        (w, v) => w.Cbor.WriteInt64(v.Number), r => new ConnectionId(r.Cbor.ReadInt64()));

    public static readonly Codec<DescriptorId> Descriptor = new ValueCodec<DescriptorId>(
        (w, v) => w.Cbor.WriteInt64(v.Number), r => new DescriptorId(r.Cbor.ReadInt64()));

    public static readonly Codec<ExitStatus> Status = new Layout<ExitStatus>("an exit status", default)
        .With(1, Int, s => s.Code, (s, v) => s with { Code = v })
        .With(2, Int, s => s.Signal, (s, v) => s with { Signal = v })
        .With(3, Bool, s => s.DumpedCore, (s, v) => s with { DumpedCore = v });

    /// <summary>Four bytes; sixteen; or, with the number of an interface, twenty.</summary>
    public static readonly Codec<IPAddress> Address = new ValueCodec<IPAddress>(WriteAddress, ReadAddress);

    public static readonly Codec<IPEndPoint> EndPoints = new ValueCodec<IPEndPoint>(
        (w, v) => WritePair(w, Address, v.Address, Int, v.Port),
        r => ReadPair(r, Address, Int) is (IPAddress address, int port and >= 0 and <= 65_535)
            ? new IPEndPoint(address, port)
            : throw new RefusedRecordException("a port is out of range"));

    /// <summary>A service's definition, by the number under which it has a record of its own.</summary>
    public static readonly Codec<ServiceDefinition> Definition = new ValueCodec<ServiceDefinition>(
        (w, v) => w.Cbor.WriteInt64(w.NumberOf(v)), r => r.DefinitionOf(r.Cbor.ReadInt64()));

    public static readonly Codec<ServiceDefinition?> DefinitionOrNull = OrNone(Definition);

    /// <summary>The number of a service in the state.</summary>
    public static readonly Codec<int> Service = new ValueCodec<int>(
        (w, v) => w.Cbor.WriteInt32(v),
        r => r.Cbor.ReadInt32() is int v && v >= 0 && v < r.ServiceCount
            ? v
            : throw new RefusedRecordException("there is no such service"));

    /// <summary>By its number; one that is none of the names is refused.</summary>
    public static Codec<T> Enum<T>()
        where T : unmanaged, Enum => new ValueCodec<T>(
        (w, v) => w.Cbor.WriteInt32(Unsafe.BitCast<T, int>(v)),
        r => Unsafe.BitCast<int, T>(r.Cbor.ReadInt32()) is T v && System.Enum.IsDefined(v)
            ? v
            : throw new RefusedRecordException($"there is no such {typeof(T).Name}"));

    /// <summary>Or null.</summary>
    public static Codec<T?> OrNull<T>(Codec<T> codec)
        where T : struct => new ValueCodec<T?>(
        (w, v) =>
        {
            if (v is { } value)
                codec.Write(w, value);
            else
                w.Cbor.WriteNull();
        },
        r => TakeNull(r) ? null : codec.Read(r));

    /// <summary>Or null.</summary>
    public static Codec<T?> OrNone<T>(Codec<T> codec)
        where T : class => new OptionalCodec<T>(codec);

    public static Codec<ImmutableArray<T>> List<T>(Codec<T> codec) => new ListCodec<T>(codec);

    public static void WritePair<TFirst, TSecond>(RecordWriter to, Codec<TFirst> a, TFirst first, Codec<TSecond> b, TSecond second)
    {
        to.Cbor.WriteStartArray(2);
        a.Write(to, first);
        b.Write(to, second);
        to.Cbor.WriteEndArray();
    }

    public static (TFirst First, TSecond Second) ReadPair<TFirst, TSecond>(RecordReader from, Codec<TFirst> a, Codec<TSecond> b)
    {
        from.Cbor.ReadStartArray();
        TFirst first = a.Read(from);
        TSecond second = b.Read(from);
        from.Cbor.ReadEndArray();
        return (first, second);
    }

    private static long Within(long value, long most) =>
        value >= 0 && value <= most ? value : throw new RefusedRecordException($"{value} is out of range");

    public static bool TakeNull(RecordReader from)
    {
        if (from.Cbor.PeekState() != CborReaderState.Null)
            return false;
        from.Cbor.ReadNull();
        return true;
    }

    private static void WriteAddress(RecordWriter to, IPAddress address)
    {
        Span<byte> bytes = stackalloc byte[20];
        address.TryWriteBytes(bytes, out int length);
        if (length == 16 && address.ScopeId != 0)
        {
            BinaryPrimitives.WriteUInt32BigEndian(bytes[16..], (uint)address.ScopeId);
            length = 20;
        }
        to.Cbor.WriteByteString(bytes[..length]);
    }

    private static IPAddress ReadAddress(RecordReader from)
    {
        byte[] bytes = from.Cbor.ReadByteString();
        return bytes.Length switch
        {
            4 or 16 => new IPAddress(bytes),
            20 => new IPAddress(bytes.AsSpan(0, 16), BinaryPrimitives.ReadUInt32BigEndian(bytes.AsSpan(16))),
            _ => throw new RefusedRecordException("an address is of no family"),
        };
    }
}
