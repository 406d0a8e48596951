using System.Runtime.InteropServices;
using Launchd.Client.Interop;

namespace Launchd.Keeper;

/// <summary>
/// Descriptors by their names, in memory outside of the managed heap: nothing here allocates, and a page is touched only when an entry lies
/// in it. Owns the descriptors.
/// </summary>
internal sealed unsafe class KeeperTable : IDisposable
{
    /// <summary>Of entries; fewer where the limit of open files is lower.</summary>
    public const int Most = 65_536;

    /// <summary>The length of the name, and the name.</summary>
    private const int NameBytes = 1 + KeeperMessage.LongestName;

    private int _capacity;
    private byte* _names;

    // The hash of each name stands apart, so that a look-up reads a sixty-fourth of the memory that a comparison of all names would.
    private uint* _hashes;
    private int* _numbers;

    /// <param name="capacity">1 to <see cref="Most"/> entries.</param>
    public KeeperTable(int capacity)
    {
        _capacity = capacity;
        // calloc(3) maps memory of this size, and the kernel fills in a page when it is written.
        _names = (byte*)NativeMemory.AllocZeroed((nuint)capacity, NameBytes);
        _hashes = (uint*)NativeMemory.AllocZeroed((nuint)capacity, sizeof(uint));
        _numbers = (int*)NativeMemory.AllocZeroed((nuint)capacity, sizeof(int));
    }

    /// <summary>How many descriptors are held. Entries are numbered from 0, without gaps.</summary>
    public int Count { get; private set; }

    /// <summary>The name of an entry.</summary>
    public ReadOnlySpan<byte> NameAt(int index) => new(_names + ((nint)index * NameBytes) + 1, _names[(nint)index * NameBytes]);

    /// <summary>The descriptor of an entry; borrowed.</summary>
    public int NumberAt(int index) => _numbers[index];

    /// <summary>Holds a descriptor under a name, and closes the one that had the name. False: there is no room, and it is closed.</summary>
    public bool Put(ReadOnlySpan<byte> name, int numberTaken)
    {
        uint hash = HashOf(name);
        int index = Find(name, hash);
        if (index >= 0)
        {
            KeeperPacket.Close(_numbers[index]);
            _numbers[index] = numberTaken;
            return true;
        }
        if (Count == _capacity)
        {
            KeeperPacket.Close(numberTaken);
            return false;
        }
        byte* entry = _names + ((nint)Count * NameBytes);
        *entry = (byte)name.Length;
        name.CopyTo(new Span<byte>(entry + 1, KeeperMessage.LongestName));
        _hashes[Count] = hash;
        _numbers[Count++] = numberTaken;
        return true;
    }

    /// <summary>Closes what has this name; the last entry takes its place.</summary>
    /// <param name="name">Of what is held, or not.</param>
    /// <param name="isDrained">It is a socket without anything in it, which is closed at once: no thread need be woken for it.</param>
    public void Drop(ReadOnlySpan<byte> name, bool isDrained)
    {
        int index = Find(name, HashOf(name));
        if (index < 0)
            return;
        if (isDrained)
            _ = ClientLibc.close(_numbers[index]);
        else
            KeeperPacket.Close(_numbers[index]);
        int last = --Count;
        if (index == last)
            return;
        Buffer.MemoryCopy(_names + ((nint)last * NameBytes), _names + ((nint)index * NameBytes), NameBytes, NameBytes);
        _hashes[index] = _hashes[last];
        _numbers[index] = _numbers[last];
    }

    public void Dispose()
    {
        for (int index = 0; index < Count; index++)
            KeeperPacket.Close(_numbers[index]);
        Count = _capacity = 0;
        NativeMemory.Free(_names);
        NativeMemory.Free(_hashes);
        NativeMemory.Free(_numbers);
        _names = null;
        _hashes = null;
        _numbers = null;
    }

    private int Find(ReadOnlySpan<byte> name, uint hash)
    {
        ReadOnlySpan<uint> hashes = new(_hashes, Count);
        int from = 0;
        while (hashes[from..].IndexOf(hash) is >= 0 and int further)
        {
            int index = from + further;
            if (NameAt(index).SequenceEqual(name))
                return index;
            from = index + 1;
        }
        return -1;
    }

    // FNV-1a. Whoever finds names of one hash makes a look-up as slow as a comparison of those names; they are the supervisor's own.
    private static uint HashOf(ReadOnlySpan<byte> name)
    {
        uint hash = 2166136261;
        foreach (byte one in name)
            hash = unchecked((hash ^ one) * 16777619);
        return hash;
    }
}
