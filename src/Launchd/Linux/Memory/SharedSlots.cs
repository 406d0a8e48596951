using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Memory;

/// <summary>
/// Memory that somebody else holds too, in which children write their own pids as the first thing that they do (CLONE_CHILD_SETTID of
/// clone(2)): so whoever comes after a supervisor that died in the middle of a birth knows whose the child is. For one thread, except that
/// a child writes into a slot at any time while it is taken.
/// </summary>
internal sealed unsafe class SharedSlots : IDisposable
{
    /// <summary>Births that are under way at the same time, at most; further ones have no slot.</summary>
    public const int Count = 1024;

    private const int SlotBytes = 16, Bytes = Count * SlotBytes;
    private const int PROT_READ_WRITE = 3, MAP_SHARED = 1;

    private readonly byte* _start;
    private readonly Stack<int> _free = new(Enumerable.Range(0, Count).Reverse());

    private SharedSlots(FileDescriptor fileTaken, byte* start)
    {
        File = fileTaken;
        _start = start;
    }

    /// <summary>The memory, to be given to whoever is to hold it too. Borrowed.</summary>
    public FileDescriptor File { get; }

    /// <summary>Empty slots. Null with the reason: there is no memory, or no descriptor.</summary>
    public static SharedSlots? Create(out Errno refused)
    {
        if (FileOpener.CreateMemory("launchd-cs-births", out refused) is not { } file)
            return null;
        byte* start = null;
        if (Libc.ftruncate(file.Number, Bytes) == 0)
            start = (byte*)Libc.mmap(null, Bytes, PROT_READ_WRITE, MAP_SHARED, file.Number, 0);
        refused = start == null || (nint)start == -1 ? Errno.Last : Errno.None;
        if (refused == Errno.None)
            return new SharedSlots(file, start);
        file.Dispose();
        return null;
    }

    /// <summary>The pids in the slots that another had taken, by whom they were taken for. What is no such memory has none.</summary>
    public static Dictionary<long, int> Read(FileDescriptor file)
    {
        Dictionary<long, int> pids = [];
        byte[] all = new byte[Bytes];
        fixed (byte* into = all)
        {
            if (Libc.pread(file.Number, into, Bytes, 0) != Bytes)
                return pids;
        }
        for (int at = 0; at < Bytes; at += SlotBytes)
        {
            (long owner, int pid) = (BitConverter.ToInt64(all, at), BitConverter.ToInt32(all, at + sizeof(long)));
            if (owner > 0 && pid > 0)
                pids[owner] = pid;
        }
        return pids;
    }

    /// <summary>Takes a slot. Null: none is free.</summary>
    /// <param name="owner">1 and more.</param>
    /// <param name="pid">Where a child writes its pid; 0 until then.</param>
    public int? Take(long owner, out int* pid)
    {
        pid = null;
        if (!_free.TryPop(out int slot))
            return null;
        byte* place = _start + (slot * SlotBytes);
        pid = (int*)(place + sizeof(long));
        Volatile.Write(ref *pid, 0);
        Volatile.Write(ref *(long*)place, owner);
        return slot;
    }

    /// <summary>Gives a slot back that no child will write into any more.</summary>
    public void Free(int slot)
    {
        Volatile.Write(ref *(long*)(_start + (slot * SlotBytes)), 0);
        _free.Push(slot);
    }

    public void Dispose()
    {
        _ = Libc.munmap(_start, Bytes);
        File.Dispose();
    }
}
