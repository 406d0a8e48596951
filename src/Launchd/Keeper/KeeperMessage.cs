using System.Buffers.Binary;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Launchd.Linux.Processes;

namespace Launchd.Keeper;

/// <summary>
/// A message between the supervisor and its keeper: one packet of a SOCK_SEQPACKET pair, unix(7), numbers in little endian. It begins with
/// four bytes: the kind, <see cref="Layout"/>, and the length of what follows (two bytes). What follows is
/// <list type="table">
/// <item><term>Store, Drop, DropDrained, Held</term><description>the name, 1 to 127 bytes without a NUL</description></item>
/// <item><term>Reap</term><description>the pid (4 bytes)</description></item>
/// <item><term>Ending</term><description>the exit code, 0 to 255 (4)</description></item>
/// <item><term>Ended</term><description>pid, exit code, signal, and 1 if a core was dumped (4 each)</description></item>
/// <item><term>Full</term><description>how many (8)</description></item>
/// <item><term>Proved, Refuses</term><description>a text, 1 to 240 bytes of UTF-8</description></item>
/// <item><term>Tried</term><description><see cref="TrialOutcome"/> (4), its number (4), perhaps a text</description></item>
/// <item><term>RestoreEnd</term><description><see cref="KeeperHistory"/></description></item>
/// <item><term>the others</term><description>nothing</description></item>
/// </list>
/// Store, Try, Held, Turns and Bell come with one descriptor, the others with none.
/// </summary>
internal readonly ref struct KeeperMessage
{
    /// <summary>A packet of another layout is not understood.</summary>
    public const byte Layout = 1;

    /// <summary>Of a name, in bytes.</summary>
    public const int LongestName = 127;

    /// <summary>Bytes that every message fits into; a longer packet is none.</summary>
    public const int LongestBytes = 256;

    /// <summary>Of a text, in bytes.</summary>
    public const int LongestText = 240;

    private const int HeadBytes = 4;
    private const int EndBytes = 16;
    private const int TrialBytes = 8;

    /// <summary>Of a <see cref="KeeperHistory"/>: no version has a shorter one.</summary>
    private const int LeastHistory = 56;

    private readonly ReadOnlySpan<byte> _rest;

    private KeeperMessage(KeeperMessageKind kind, ReadOnlySpan<byte> rest)
    {
        Kind = kind;
        _rest = rest;
    }

    public KeeperMessageKind Kind { get; }

    /// <summary>The name of a descriptor.</summary>
    public ReadOnlySpan<byte> Name => _rest;

    /// <summary>The child that is to be reaped, 1 and more.</summary>
    public int Pid => BinaryPrimitives.ReadInt32LittleEndian(_rest);

    /// <summary>With which code the supervisor is about to end.</summary>
    public int ExitCode => BinaryPrimitives.ReadInt32LittleEndian(_rest);

    /// <summary>How many descriptors could not be held.</summary>
    public long Count => BinaryPrimitives.ReadInt64LittleEndian(_rest);

    /// <summary>The child that has ended.</summary>
    public Reaped End => new(Pid, Word(1), Word(2), Word(3) != 0);

    /// <summary>What became of a program that was tried.</summary>
    public TrialOutcome Outcome => (TrialOutcome)Word(0);

    /// <summary>The number that belongs to <see cref="Outcome"/>.</summary>
    public int OutcomeNumber => Word(1);

    /// <summary>What a program says, or has said, about itself.</summary>
    public ReadOnlySpan<byte> Text => Kind == KeeperMessageKind.Tried ? _rest[TrialBytes..] : _rest;

    /// <summary>What happened before.</summary>
    public unsafe KeeperHistory History
    {
        get
        {
            // One of another version is longer or shorter: what a shorter one lacks is 0.
            KeeperHistory history = default;
            Span<byte> bytes = new(&history, sizeof(KeeperHistory));
            _rest[..Math.Min(_rest.Length, bytes.Length)].CopyTo(bytes);
            return history;
        }
    }

    /// <summary>Understands a packet. Never throws; false: it is no message.</summary>
    /// <param name="packet">All of it.</param>
    /// <param name="descriptorCount">How many descriptors came along.</param>
    /// <param name="message">Refers to the packet.</param>
    public static bool TryRead(ReadOnlySpan<byte> packet, int descriptorCount, out KeeperMessage message)
    {
        message = default;
        if (packet.Length < HeadBytes || packet[1] != Layout
            || BinaryPrimitives.ReadUInt16LittleEndian(packet[2..]) != packet.Length - HeadBytes)
        {
            return false;
        }
        message = new KeeperMessage((KeeperMessageKind)packet[0], packet[HeadBytes..]);
        if (descriptorCount == (HasDescriptor(message.Kind) ? 1 : 0) && message.IsWhole)
            return true;
        message = default;
        return false;
    }

    /// <summary>Whether a message of this kind comes with a descriptor.</summary>
    public static bool HasDescriptor(KeeperMessageKind kind) =>
        kind is KeeperMessageKind.Store or KeeperMessageKind.Try or KeeperMessageKind.Held or KeeperMessageKind.Turns
            or KeeperMessageKind.Bell;

    /// <summary>Whether a name can be sent.</summary>
    public static bool IsName(ReadOnlySpan<byte> name) => name.Length is > 0 and <= LongestName && !name.Contains((byte)0);

    /// <summary>Writes a message that is only its kind. As all the others, it returns the length.</summary>
    public static int Write(Span<byte> packet, KeeperMessageKind kind) => WriteHead(packet, kind, 0);

    /// <summary>Writes a message that has a name, for which <see cref="IsName"/> holds.</summary>
    public static int Write(Span<byte> packet, KeeperMessageKind kind, ReadOnlySpan<byte> name)
    {
        Debug.Assert(IsName(name));
        name.CopyTo(packet[HeadBytes..]);
        return WriteHead(packet, kind, name.Length);
    }

    /// <summary>Writes a message that has one small number: a pid or an exit code.</summary>
    public static int Write(Span<byte> packet, KeeperMessageKind kind, int number)
    {
        BinaryPrimitives.WriteInt32LittleEndian(packet[HeadBytes..], number);
        return WriteHead(packet, kind, sizeof(int));
    }

    /// <summary>Writes a message that has a count.</summary>
    public static int Write(Span<byte> packet, KeeperMessageKind kind, long count)
    {
        BinaryPrimitives.WriteInt64LittleEndian(packet[HeadBytes..], count);
        return WriteHead(packet, kind, sizeof(long));
    }

    /// <summary>Writes how a child has ended.</summary>
    public static int Write(Span<byte> packet, Reaped end)
    {
        Span<byte> rest = packet[HeadBytes..];
        BinaryPrimitives.WriteInt32LittleEndian(rest, end.Pid);
        BinaryPrimitives.WriteInt32LittleEndian(rest[4..], end.Code);
        BinaryPrimitives.WriteInt32LittleEndian(rest[8..], end.Signal);
        BinaryPrimitives.WriteInt32LittleEndian(rest[12..], end.DumpedCore ? 1 : 0);
        return WriteHead(packet, KeeperMessageKind.Ended, EndBytes);
    }

    /// <summary>Writes what happened before.</summary>
    public static unsafe int Write(Span<byte> packet, in KeeperHistory history)
    {
        MemoryMarshal.Write(packet[HeadBytes..], history);
        return WriteHead(packet, KeeperMessageKind.RestoreEnd, sizeof(KeeperHistory));
    }

    /// <summary>Writes what a program says about itself; a longer text is cut.</summary>
    public static int WriteText(Span<byte> packet, KeeperMessageKind kind, ReadOnlySpan<byte> text) =>
        WriteHead(packet, kind, Put(packet[HeadBytes..], text));

    /// <summary>Writes what became of a program that was tried; a longer text is cut.</summary>
    public static int Write(Span<byte> packet, TrialOutcome outcome, int number, ReadOnlySpan<byte> text)
    {
        BinaryPrimitives.WriteInt32LittleEndian(packet[HeadBytes..], (int)outcome);
        BinaryPrimitives.WriteInt32LittleEndian(packet[(HeadBytes + 4)..], number);
        return WriteHead(packet, KeeperMessageKind.Tried, TrialBytes + Put(packet[(HeadBytes + TrialBytes)..], text));
    }

    private bool IsWhole => Kind switch
    {
        KeeperMessageKind.Store or KeeperMessageKind.Drop or KeeperMessageKind.DropDrained or KeeperMessageKind.Held => IsName(_rest),
        KeeperMessageKind.Restore or KeeperMessageKind.Peek or KeeperMessageKind.Running or KeeperMessageKind.NotWanted
            or KeeperMessageKind.LetGo or KeeperMessageKind.Turns or KeeperMessageKind.Bell or KeeperMessageKind.NoneEnded
            or KeeperMessageKind.ChildEnded or KeeperMessageKind.Try or KeeperMessageKind.HandOver => _rest.IsEmpty,
        KeeperMessageKind.Reap => _rest.Length == sizeof(int) && Pid > 0,
        KeeperMessageKind.Ending => _rest.Length == sizeof(int) && ExitCode is >= 0 and <= byte.MaxValue,
        KeeperMessageKind.Ended => _rest.Length == EndBytes && Pid > 0,
        KeeperMessageKind.Full => _rest.Length == sizeof(long) && Count > 0,
        KeeperMessageKind.RestoreEnd => _rest.Length is >= LeastHistory and <= LongestText,
        KeeperMessageKind.Proved or KeeperMessageKind.Refuses => _rest.Length is > 0 and <= LongestText,
        KeeperMessageKind.Tried => _rest.Length is >= TrialBytes and <= TrialBytes + LongestText,
        _ => false,
    };

    private static int Put(Span<byte> room, ReadOnlySpan<byte> text)
    {
        ReadOnlySpan<byte> fitting = text[..Math.Min(text.Length, LongestText)];
        fitting.CopyTo(room);
        return fitting.Length;
    }

    private int Word(int index) => BinaryPrimitives.ReadInt32LittleEndian(_rest[(index * sizeof(int))..]);

    private static int WriteHead(Span<byte> packet, KeeperMessageKind kind, int length)
    {
        packet[0] = (byte)kind;
        packet[1] = Layout;
        BinaryPrimitives.WriteUInt16LittleEndian(packet[2..], (ushort)length);
        return HeadBytes + length;
    }
}
