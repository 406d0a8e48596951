using Launchd.Interop;
using Tmds.Linux;
using static Launchd.Interop.SystemCallNumbers;

namespace Launchd.Linux.Spawning;

/// <summary>The mount points of a child.</summary>
internal sealed unsafe partial class ExecPlan
{
    /// <summary>The size of struct statx, statx(2).</summary>
    private const int StatusBytes = 256;

    // unlink(2), rename(2): a mount point of the caller's namespace is EBUSY, whoever asks. The kernel forgets these mounts with the
    // last process of the namespace, and whenever somebody outside removes the path.
    private void LayPinnedPaths(SpawnRequest request, int report)
    {
        if (request.PinnedPaths.Count == 0)
            return;
        Add(StepKind.Call, SpawnStage.PinnedPaths, unshare, Libc.CLONE_NEWNS);
        Add(StepKind.Call, SpawnStage.PinnedPaths, mount, 0, (nint)Text("/"), 0, Libc.MS_REC | Libc.MS_SLAVE);
        // mount(2) looks each of its two paths up for itself and follows links. Somebody who may write the directory could exchange the
        // path in between, and so choose what root mounts where. So the path is looked up once, in the new namespace, because files that
        // were opened outside of it cannot be mounted there, and both paths of the mount lead to the file that was found and verified.
        int opened = LowestFree(request.Descriptors, report);
        nint link = (nint)Text($"/proc/self/fd/{opened}");
        nint empty = (nint)Text("");
        nint status = (nint)Allocate<byte>(StatusBytes);
        foreach (PinnedPath pinned in request.PinnedPaths)
        {
            ulong* expected = Allocate<ulong>(2);
            (expected[0], expected[1]) = (pinned.Inode, pinned.Device);
            Add(StepKind.Call, SpawnStage.PinnedPaths, openat, Libc.AT_FDCWD, (nint)Text(pinned.Path),
                LibC.O_PATH | LibC.O_NOFOLLOW | Libc.O_CLOEXEC);
            Add(StepKind.Call, SpawnStage.PinnedPaths, SystemCallNumbers.statx, opened, empty,
                Libc.AT_EMPTY_PATH, (nint)LibC.STATX_BASIC_STATS, status);
            Add(StepKind.VerifyFile, SpawnStage.PinnedPaths, getpid, status, (nint)expected);
            Add(StepKind.Call, SpawnStage.PinnedPaths, mount, link, link, 0, Libc.MS_BIND);
            Add(StepKind.Call, SpawnStage.PinnedPaths, close, opened);
        }
    }

    // open(2) takes the lowest number. By then the child has nothing open but its targets and the descriptor for its report.
    private static int LowestFree(IReadOnlyList<DescriptorMapping> descriptors, int report)
    {
        int free = 0;
        foreach (DescriptorMapping mapping in descriptors)
        {
            if (mapping.Target != free)
                break;
            free++;
        }
        return report != 0 && free == report ? free + 1 : free;
    }
}
