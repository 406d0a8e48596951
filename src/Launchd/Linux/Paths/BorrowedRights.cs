using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;

namespace Launchd.Linux.Paths;

/// <summary>
/// Opens files with the rights of another user, as root may: on a thread of its own, whose user, group and groups for file access are that
/// user's (setfsuid(2), credentials(7)) and which ends with the call. So nothing has to be set back, and every other thread stays root.
/// That user cannot signal or trace the thread meanwhile, because for signals and tracing it is root's still.
/// </summary>
internal static unsafe class BorrowedRights
{
    /// <summary>openat2(2), of Linux 5.6: no link of /proc that leads past all rules for names (<c>/proc/self/fd/3</c>).</summary>
    public const ulong RESOLVE_NO_MAGICLINKS = 0x02;

    private const int StackBytes = 256 << 10;

    /// <summary>Whether somebody's rights are less than this process's own, so that they have to be borrowed.</summary>
    public static bool AreLess(Credentials? who) => who is { Uid: not 0 } && Libc.geteuid() == 0;

    /// <summary>
    /// openat(2) or openat2(2) as somebody else, close-on-exec. Blocks as the file system pleases. Null with
    /// the reason; EAGAIN: no thread could be made.
    /// </summary>
    /// <param name="who">Not root.</param>
    /// <param name="directory">Where a relative name starts. Borrowed; null: absolute only.</param>
    /// <param name="name">Of the file.</param>
    /// <param name="flags">Of open(2).</param>
    /// <param name="mode">Of a file that is made.</param>
    /// <param name="resolve">As for openat2(2); 0: names are followed as open(2) does.</param>
    /// <param name="refused">The reason.</param>
    public static FileDescriptor? Open(
        Credentials who, FileDescriptor? directory, string name, int flags, int mode, ulong resolve, out Errno refused)
    {
        uint[] groups = [.. who.Groups, 0];
        fixed (byte* path = CString.From(name))
        fixed (uint* members = groups)
        {
            OpenHow how = new() { Flags = (uint)(flags | Libc.O_CLOEXEC), Mode = (uint)mode, Resolve = resolve };
            Order order = new()
            {
                Uid = who.Uid, Gid = who.Gid, Groups = (nint)members, GroupCount = who.Groups.Count,
                Directory = directory?.Number ?? -100, Path = (nint)path,
                How = (nint)(&how), Result = -1, Errno = Errno.EAGAIN.Value,
            };
            nint pointer = (nint)(&order);
            // The functions are bound and compiled here, because the other thread must not need the runtime for that.
            _ = Libc.syscall(SystemCallNumbers.getpid, 0, 0, 0, 0, 0, 0) + *Libc.__errno_location();
            try
            {
                Thread thread = new(() => CarryOut((Order*)pointer), StackBytes) { IsBackground = true, Name = "borrowed rights" };
                thread.Start();
                thread.Join();
                Visibility.Restore();
            }
            catch (Exception noThread) when (noThread is OutOfMemoryException or ThreadStartException)
            {
            }
            refused = order.Result < 0 ? new Errno(order.Errno) : Errno.None;
            return order.Result < 0 ? null : new FileDescriptor((int)order.Result);
        }
    }

    // Raw calls: the C library's own would change every thread (nptl(7)). setfsuid(2) and setfsgid(2) answer with the former number,
    // whether or not they did anything, so a second call asks.
    [MethodImpl(MethodImplOptions.NoInlining | MethodImplOptions.AggressiveOptimization)]
    private static void CarryOut(Order* order)
    {
        order->Errno = Errno.EPERM.Value;
        if (Libc.syscall(SystemCallNumbers.setgroups, order->GroupCount, order->Groups, 0, 0, 0, 0) < 0)
            return;
        _ = Libc.syscall(SystemCallNumbers.setfsgid, (nint)order->Gid, 0, 0, 0, 0, 0);
        if ((uint)Libc.syscall(SystemCallNumbers.setfsgid, -1, 0, 0, 0, 0, 0) != order->Gid)
            return;
        _ = Libc.syscall(SystemCallNumbers.setfsuid, (nint)order->Uid, 0, 0, 0, 0, 0);
        if ((uint)Libc.syscall(SystemCallNumbers.setfsuid, -1, 0, 0, 0, 0, 0) != order->Uid)
            return;
        do
        {
            // openat(2) is called unless openat2(2) is needed: a filter of system calls may allow only the older one.
            OpenHow* how = (OpenHow*)order->How;
            order->Result = how->Resolve == 0
                ? Libc.syscall(SystemCallNumbers.openat, order->Directory, order->Path, (nint)how->Flags, (nint)how->Mode, 0, 0)
                : Libc.syscall(SystemCallNumbers.openat2, order->Directory, order->Path, order->How, sizeof(OpenHow), 0, 0);
            order->Errno = *Libc.__errno_location();
        }
        while (order->Result < 0 && order->Errno == Errno.EINTR.Value);
    }

    /// <summary>What the thread is to open, and its answer.</summary>
    private struct Order
    {
        public uint Uid;
        public uint Gid;
        public nint Groups;
        public int GroupCount;
        public int Directory;
        public nint Path;
        public nint How;
        public nint Result;
        public int Errno;
    }

    /// <summary><c>struct open_how</c> of openat2(2).</summary>
    [StructLayout(LayoutKind.Sequential)]
    private struct OpenHow
    {
        public ulong Flags;
        public ulong Mode;
        public ulong Resolve;
    }
}
