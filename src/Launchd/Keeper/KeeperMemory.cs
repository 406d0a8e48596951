using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;

namespace Launchd.Keeper;

/// <summary>
/// What the keeper takes along when it executes itself anew, in a file in memory: this struct, what the deaths before count for, and the
/// table. Descriptors are told by their numbers, which stay what they are over execve(2).
/// </summary>
/// <remarks>
/// The file is a mark, <see cref="Layout"/>, and parts, each of a kind and a length (4 bytes each) and that many bytes. Parts of other
/// kinds are passed over. A part that is longer than what this version knows of it has more at its end; what a shorter one lacks is 0.
/// So fields are added at the end of a part alone, and a change of another kind is another layout.
/// </remarks>
[StructLayout(LayoutKind.Sequential)]
internal unsafe struct KeeperMemory
{
    /// <summary>Another layout is refused.</summary>
    public const int Layout = 1;

    private const ulong Mark = 0x3130_5045_454B_434C; // "LCKEEP01"
    private const int HeadBytes = 16, PartHeadBytes = 8;

    /// <summary>The table's names and numbers, with room for what later versions add.</summary>
    private const int MostBytes = 32 << 20;

    private enum Part
    {
        Facts = 1,
        History = 2,
        Deaths = 3,
        Entry = 4,
    }

    /// <summary>When the supervisor was started, CLOCK_MONOTONIC in nanoseconds.</summary>
    public long StartedAt;

    /// <summary>Signals that ask for the end, as bits from 0 for signal 1.</summary>
    public ulong WantedEnd;

    /// <summary>The soft limit of open files that a supervisor is started with.</summary>
    public ulong FileLimit;

    /// <summary>Descriptors that could not be held, of this supervisor.</summary>
    public long Refused;

    /// <summary>The same of all supervisors.</summary>
    public long RefusedCount;

    /// <summary>Messages that made no sense, of all supervisors.</summary>
    public long StrangeCount;

    /// <summary>The pid of the supervisor.</summary>
    public int Supervisor;

    /// <summary>The keeper's end of the socket to the supervisor.</summary>
    public int Socket;

    /// <summary>The program that is executed; closed when it runs.</summary>
    public int Program;

    /// <summary>1: the supervisor knows that a child has ended.</summary>
    public int HasHinted;

    /// <summary>A program that has proved itself, and for which the supervisor has not ended yet; 0: none.</summary>
    public int Tried;

    /// <summary>The timer of the supervisor's turns (<see cref="HangWatch"/>); 0: none.</summary>
    public int Turns;

    /// <summary>What the supervisor rings (<see cref="KeeperDialogue.BellNumber"/>); 0: nothing.</summary>
    public int Bell;

    /// <summary>What happened before the supervisor was started. A part of its own.</summary>
    public KeeperHistory History;

    /// <summary>By which name a program that is tried is shown such a file.</summary>
    public static ReadOnlySpan<byte> Name => "keeper.memory"u8;

    /// <summary>Writes everything down. Null with the reason: there is no memory, or no descriptor.</summary>
    /// <param name="memory">What is not in the others.</param>
    /// <param name="deaths">Before the supervisor.</param>
    /// <param name="table">What is held.</param>
    /// <param name="refused">ENOMEM, EMFILE.</param>
    public static FileDescriptor? Write(in KeeperMemory memory, KeeperDeaths deaths, KeeperTable table, out Errno refused)
    {
        List<byte> bytes = new(HeadBytes + (table.Count * 64));
        Span<byte> head = stackalloc byte[HeadBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(head, Mark);
        BinaryPrimitives.WriteInt64LittleEndian(head[8..], Layout);
        bytes.AddRange(head);
        fixed (KeeperMemory* facts = &memory)
            Add(bytes, Part.Facts, new ReadOnlySpan<byte>(facts, FactBytes));
        Add(bytes, Part.History, MemoryMarshal.AsBytes(new ReadOnlySpan<KeeperHistory>(in memory.History)));
        Span<long> numbers = stackalloc long[KeeperDeaths.NumberCount];
        deaths.Remember(numbers);
        Add(bytes, Part.Deaths, MemoryMarshal.AsBytes(numbers));
        Span<byte> entry = stackalloc byte[sizeof(int) + KeeperMessage.LongestName];
        for (int index = 0; index < table.Count; index++)
        {
            ReadOnlySpan<byte> name = table.NameAt(index);
            BinaryPrimitives.WriteInt32LittleEndian(entry, table.NumberAt(index));
            name.CopyTo(entry[sizeof(int)..]);
            Add(bytes, Part.Entry, entry[..(sizeof(int) + name.Length)]);
        }
        return WriteFile(CollectionsMarshal.AsSpan(bytes), out refused);
    }

    /// <summary>Reads what another image has written. Trusts nothing, and throws nothing.</summary>
    /// <param name="file">Borrowed.</param>
    /// <param name="memory">What is not in the others.</param>
    /// <param name="deaths">Gets what stands of them; null: nobody asks.</param>
    /// <param name="table">Gets the numbers as its own; null: nobody asks.</param>
    /// <param name="why">What is wrong with it.</param>
    public static bool TryRead(FileDescriptor file, out KeeperMemory memory, KeeperDeaths? deaths, KeeperTable? table, out string why)
    {
        memory = default;
        why = "the keeper's memory cannot be read";
        if (Content(file) is not { } content)
            return false;
        ReadOnlySpan<byte> rest = content;
        if (rest.Length < HeadBytes || BinaryPrimitives.ReadUInt64LittleEndian(rest) != Mark)
            return false;
        if (BinaryPrimitives.ReadInt64LittleEndian(rest[8..]) is var layout and not Layout)
        {
            why = $"the keeper's memory has layout {layout}, and this version knows {Layout}";
            return false;
        }
        rest = rest[HeadBytes..];
        while (!rest.IsEmpty)
        {
            if (rest.Length < PartHeadBytes || BinaryPrimitives.ReadUInt32LittleEndian(rest[4..]) > rest.Length - PartHeadBytes)
                return false;
            Part kind = (Part)BinaryPrimitives.ReadInt32LittleEndian(rest);
            ReadOnlySpan<byte> part = rest.Slice(PartHeadBytes, BinaryPrimitives.ReadInt32LittleEndian(rest[4..]));
            rest = rest[(PartHeadBytes + part.Length)..];
            if (!Take(kind, part, ref memory, deaths, table))
                return false;
        }
        return memory is { Supervisor: > 0, Socket: > 2 };
    }

    private static int FactBytes => sizeof(KeeperMemory) - sizeof(KeeperHistory);

    private static bool Take(Part kind, ReadOnlySpan<byte> part, ref KeeperMemory memory, KeeperDeaths? deaths, KeeperTable? table)
    {
        switch (kind)
        {
            case Part.Facts:
                fixed (KeeperMemory* facts = &memory)
                    Copy(part, new Span<byte>(facts, FactBytes));
                return true;
            case Part.History:
                Copy(part, MemoryMarshal.AsBytes(new Span<KeeperHistory>(ref memory.History)));
                return true;
            case Part.Deaths:
                Span<long> numbers = stackalloc long[KeeperDeaths.NumberCount];
                numbers.Clear();
                Copy(part, MemoryMarshal.AsBytes(numbers));
                deaths?.Recall(numbers);
                return true;
            case Part.Entry:
                if (part.Length <= sizeof(int) || !KeeperMessage.IsName(part[sizeof(int)..])
                    || BinaryPrimitives.ReadInt32LittleEndian(part) is not (> 2 and int number))
                {
                    return false;
                }
                _ = table?.Put(part[sizeof(int)..], number);
                return true;
            default:
                return true;
        }
    }

    private static void Copy(ReadOnlySpan<byte> from, Span<byte> to) => from[..Math.Min(from.Length, to.Length)].CopyTo(to);

    private static void Add(List<byte> bytes, Part kind, ReadOnlySpan<byte> content)
    {
        Span<byte> head = stackalloc byte[PartHeadBytes];
        BinaryPrimitives.WriteInt32LittleEndian(head, (int)kind);
        BinaryPrimitives.WriteInt32LittleEndian(head[4..], content.Length);
        bytes.AddRange(head);
        bytes.AddRange(content);
    }

    private static FileDescriptor? WriteFile(ReadOnlySpan<byte> bytes, out Errno refused)
    {
        if (FileOpener.CreateMemory("launchd-cs-keeper", out refused) is not { } file)
            return null;
        fixed (byte* start = bytes)
        {
            for (int put = 0; put < bytes.Length;)
            {
                nint more = Libc.pwrite(file.Number, start + put, (nuint)(bytes.Length - put), put);
                if (more > 0)
                {
                    put += (int)more;
                    continue;
                }
                refused = Errno.Last;
                if (refused == Errno.EINTR)
                    continue;
                file.Dispose();
                return null;
            }
        }
        refused = Errno.None;
        return file;
    }

    private static byte[]? Content(FileDescriptor file)
    {
        if (FileStatus.Read(file, out FileStatus status) != Errno.None || status.SizeBytes is < 0 or > MostBytes)
            return null;
        byte[] content = new byte[status.SizeBytes];
        fixed (byte* start = content)
        {
            for (int got = 0; got < content.Length;)
            {
                nint more = Libc.pread(file.Number, start + got, (nuint)(content.Length - got), got);
                if (more > 0)
                    got += (int)more;
                else if (more == 0 || Errno.Last != Errno.EINTR)
                    return null;
            }
        }
        return content;
    }
}
