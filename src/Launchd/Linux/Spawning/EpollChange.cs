using System.Runtime.CompilerServices;
using Launchd.Client;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Loop;

namespace Launchd.Linux.Spawning;

/// <summary>Changes an epoll set of another process, by the steps of a plan on a thread of its own.</summary>
internal static unsafe class EpollChange
{
    private const int StackBytes = 256 << 10;

    /// <summary>
    /// Changes what another process's set waits for at an entry, without the help of that process. A set knows a descriptor
    /// by its number and its open file description together (epoll(7)), so the change is made by a thread with a table of
    /// its own, in which the description has that very number. May wait as <see cref="EpollEntry.Read"/> does; that thread
    /// holds only the set and the descriptor meanwhile.
    /// </summary>
    /// <param name="entry">The entry as it was read.</param>
    /// <param name="set">A duplicate of the set. Borrowed.</param>
    /// <param name="descriptor">The same open file description as stands in the set. Borrowed.</param>
    /// <param name="events">What the set waits for from then on; 0: only for errors and hang-ups.</param>
    /// <returns>
    /// ENOENT: the set has no such entry, or not any more; EBADF: the number is above the limit of this
    /// process; EAGAIN: no thread could be made.
    /// </returns>
    public static Errno Make(EpollEntry entry, FileDescriptor set, FileDescriptor descriptor, uint events)
    {
        using ExecPlan leaving = new(), changing = new();
        leaving.LayOwnTable();
        changing.LayEpollChange(set.Number, descriptor.Number, entry, events);
        nint first = (nint)leaving.Header, second = (nint)changing.Header;
        if (Worker.TryStart("epoll change", StackBytes, () => InOwnTable((PlanHeader*)first, (PlanHeader*)second)) is not { } thread)
            return Errno.EAGAIN;
        thread.Join();
        return new Errno(leaving.Header->Errno != 0 ? leaving.Header->Errno : changing.Header->Errno);
    }

    // After the first plan this thread has a descriptor table that the runtime does not know of: so it must make no other call, allocate
    // nothing and need no compiling. The second plan leaves it two descriptors, and then it ends.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void InOwnTable(PlanHeader* leaving, PlanHeader* changing)
    {
        Spawner.CarryOut(leaving);
        if (leaving->Errno == 0)
            Spawner.CarryOut(changing);
    }
}
