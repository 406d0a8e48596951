using Launchd.Client;
using Launchd.Host.Provisioning;
using Launchd.Interop;
using Launchd.Linux.Paths;

namespace Launchd.Host.Launching;

/// <summary>
/// The standard input of <c>input = "open"</c>: a pipe that one descriptor, the program's own, has open for reading and writing at once
/// (fifo(7): Linux allows that). As long as the program has it there is somebody who could write, so it never ends; nobody does write, and
/// the supervisor holds nothing.
/// </summary>
internal static unsafe class EndlessInput
{
    private const int O_RDWR = 2;

    /// <summary>Makes one for a birth, which owns it from then on.</summary>
    public static Errno Give(Birth birth, ResolvedUser user)
    {
        int* ends = stackalloc int[2];
        if (Libc.pipe2(ends, Libc.O_CLOEXEC) != 0)
            return Errno.Last;
        using FileDescriptor readEnd = new(ends[0]), writeEnd = new(ends[1]);
        if (Files.Open(null, Files.ProcPath(readEnd), O_RDWR | Libc.O_CLOEXEC, 0, out Errno refused) is not { } both)
            return refused;
        birth.Own(both);
        // The program may open /dev/stdin anew.
        if (user.Credentials is { } who)
            _ = Libc.fchown(both.Number, who.Uid, who.Gid);
        birth.Input(both.Number);
        return Errno.None;
    }
}
