using System.Buffers.Text;
using System.Globalization;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Processes;

/// <summary>
/// Children of processes, as the kernel lists them for each thread (proc_tid_children(5)). For the loop's thread alone. The supervisor's
/// own list is exact, since only the loop reaps children; in that of another process a child may be missed that is born or ends meanwhile.
/// </summary>
internal static unsafe class ChildList
{
    // seq_file(9) gives at most a page at a time: a read that is shorter by more than one number is the last.
    private const int LeastFullRead = 4096 - 12;

    private static readonly byte[] Buffer = new byte[64 << 10];

    // A child is in the list of the thread that gave birth to it, an orphan in that of the first thread. Threads that give birth never end.
    private static readonly Lock Parents = new();
    private static Own[] _own = [new Own(Libc.getpid())];
    private static Own? _foster;

    /// <summary>
    /// The process that has the children of a supervisor before this one, and reaps them only when this one says so; 0: there is none.
    /// </summary>
    public static int FosterParent { get; private set; }

    /// <summary>Takes the children of another process, the parent of this one, for own ones from now on; 0: of none any more.</summary>
    public static void Adopt(int fosterParent)
    {
        FosterParent = fosterParent;
        _foster?.Close();
        _foster = null;
        if (fosterParent == 0)
            return;
        _foster = new Own(fosterParent, $"/proc/{fosterParent}/task/{fosterParent}/children");
        _ = _foster.Open();
    }

    /// <summary>
    /// Adds this process's own children, oldest first, with ended ones that were not reaped. False: the lists cannot be read now.
    /// </summary>
    public static bool AddOwn(List<int> children)
    {
        bool isComplete = ProcFile.IsOwn;
        foreach (Own thread in isComplete ? Volatile.Read(ref _own) : [])
            isComplete &= AddOf(thread, children);
        if (isComplete && _foster is { } foster)
        {
            isComplete &= AddOf(foster, children);
            _ = children.Remove(Libc.getpid());
        }
        return isComplete;
    }

    /// <summary>This thread has children of its own from now on, and never ends.</summary>
    public static void AddParent()
    {
        Own own = new(Libc.gettid());
        // Opened now, because later there may be no descriptor left.
        _ = own.Open();
        lock (Parents)
            Volatile.Write(ref _own, [.. _own, own]);
    }

    private static bool AddOf(Own thread, List<int> children)
    {
        if (thread.Open() is not { } list)
            return false;
        nint position = 0;
        int kept = 0;
        while (true)
        {
            nint got;
            fixed (byte* buffer = Buffer)
                got = Libc.pread(list.Number, buffer + kept, (nuint)(Buffer.Length - kept), position);
            if (got <= 0)
                break;
            position += got;
            kept = Parse(Buffer.AsSpan(0, kept + (int)got), children);
            if (got < LeastFullRead)
                break;
        }
        return true;
    }

    /// <summary>Adds the children of all threads of a process.</summary>
    public static void AddOf(int pid, int threadCount, List<int> children)
    {
        if (threadCount <= 1)
        {
            AddOfThread(pid, pid, children);
            return;
        }
        List<int> threads = [];
        using (ProcFile directory = ProcFile.Open($"/proc/{pid}/task", out _))
        {
            if (directory.IsOpen)
                threads.AddRange(Files.Numbers(directory.File));
        }
        foreach (int thread in threads)
            AddOfThread(pid, thread, children);
    }

    private static void AddOfThread(int pid, int thread, List<int> children)
    {
        using ProcFile file = ProcFile.Open(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/task/{thread}/children"), out _);
        int kept = 0;
        while (file.IsOpen)
        {
            nint got;
            fixed (byte* buffer = Buffer)
                got = Libc.read(file.File.Number, buffer + kept, (nuint)(Buffer.Length - kept));
            if (got <= 0)
                break;
            kept = Parse(Buffer.AsSpan(0, kept + (int)got), children);
        }
    }

    // Pids in decimal, each with a space behind it. What comes after the last space is kept for the next read. Returns its length.
    private static int Parse(Span<byte> text, List<int> children)
    {
        ReadOnlySpan<byte> rest = text;
        while (rest.IndexOf((byte)' ') is >= 0 and int end)
        {
            if (Utf8Parser.TryParse(rest[..end], out int pid, out _))
                children.Add(pid);
            rest = rest[(end + 1)..];
        }
        rest.CopyTo(text);
        return rest.Length;
    }

    /// <summary>
    /// The list of one thread of this process, opened once and read from its start each time, because opening it took a tenth of a restart.
    /// </summary>
    private sealed class Own(int thread, string? path = null)
    {
        private FileDescriptor? _list;

        /// <summary>Null: it cannot be opened now. When there is no descriptor left, the next call tries again.</summary>
        public FileDescriptor? Open() => _list ??= Files.OpenToRead(path ?? $"/proc/self/task/{thread}/children", out _);

        public void Close() => _list?.Dispose();
    }
}
