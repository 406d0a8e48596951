using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Descriptors;

/// <summary>
/// The memory of <c>SaveState</c>, made unable to grow: it outlives its program, which must not be able to fill the machine's memory by it.
/// A memfd that is sealed against growing is kept as it is, a small one is copied, a large one is sealed here.
/// </summary>
internal static unsafe class KeptState
{
    private static readonly int Bounds = F_SEAL_GROW | F_SEAL_SHRINK;

    // A copy is made on the loop: this much takes less than a millisecond.
    private const long MostCopiedBytes = 1 << 20;

    /// <summary>The memfd to keep, which the caller owns. Null: refused.</summary>
    /// <param name="memory">A memfd, borrowed; what is returned may be a duplicate of it.</param>
    /// <param name="mostBytes">Most bytes in the file, and most that may be allocated for it.</param>
    /// <param name="fault">What is wrong with it; null: it is too large.</param>
    public static FileDescriptor? Take(FileDescriptor memory, long mostBytes, out string? fault)
    {
        fault = null;
        int seals = fcntl(memory.Number, Libc.F_GET_SEALS);
        bool isBounded = seals >= 0 && (seals & Bounds) == Bounds;
        if (!TryMeasure(memory, out long size, out long allocated) || (isBounded ? Math.Max(size, allocated) : size) > mostBytes)
            return null;
        // Measured again after sealing: before, the program could still make it grow.
        if (!isBounded && size > MostCopiedBytes)
        {
            isBounded = fcntl(memory.Number, F_ADD_SEALS, Bounds) == 0;
            if (isBounded && (!TryMeasure(memory, out size, out allocated) || Math.Max(size, allocated) > mostBytes))
                return null;
        }
        if (isBounded)
            return Files.Duplicate(memory, closer: null, out _);
        if (size <= MostCopiedBytes)
            return Copy(memory, size, out fault);
        fault =
            $"a state of more than {MostCopiedBytes} bytes is sealed with F_SEAL_GROW and F_SEAL_SHRINK, or made with MFD_ALLOW_SEALING";
        return null;
    }

    private static FileDescriptor? Copy(FileDescriptor memory, long size, out string? fault)
    {
        FileDescriptor? copy = FileOpener.CreateMemory(NameOf(memory), out Errno refused);
        long at = 0;
        while (copy is not null && at < size)
        {
            nint sent = Libc.sendfile(copy.Number, memory.Number, &at, (nuint)(size - at));
            if (sent > 0)
                continue;
            // No bytes came: the program made the file shorter while it was copied.
            refused = sent < 0 ? Errno.Last : Errno.EIO;
            copy.Dispose();
            copy = null;
        }
        fault = copy is null ? $"the state cannot be copied: {refused.Text}" : null;
        if (copy is null)
            return null;
        _ = lseek(copy.Number, 0, SEEK_SET);
        _ = fcntl(copy.Number, F_ADD_SEALS, Bounds | F_SEAL_WRITE | F_SEAL_SEAL);
        return copy;
    }

    // proc_pid_fd(5): "/memfd:NAME (deleted)".
    private static string NameOf(FileDescriptor memory)
    {
        string link = Files.ReadLink(null, Files.ProcPath(memory)) ?? "";
        int start = link.IndexOf(':'), end = link.LastIndexOf(" (deleted)", StringComparison.Ordinal);
        return start >= 0 && end > start ? link[(start + 1)..end] : "state";
    }

    // Memory that is allocated beyond the end of the file (fallocate(2), FALLOC_FL_KEEP_SIZE) counts as well.
    private static bool TryMeasure(FileDescriptor memory, out long size, out long allocated)
    {
        bool isMeasured = FileStatus.Read(memory, out FileStatus status) == Errno.None;
        (size, allocated) = (status.SizeBytes, status.AllocatedBytes);
        return isMeasured;
    }
}
