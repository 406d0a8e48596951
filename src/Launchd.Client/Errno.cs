using System.Runtime.InteropServices;

namespace Launchd.Client;

/// <summary>An error number of the kernel, errno(3): one value that travels, prints its name and its text.</summary>
/// <param name="Value">The number, as the kernel of this architecture has it (x86-64 and arm64 agree).</param>
internal readonly record struct Errno(int Value)
{
    public static readonly Errno None = new(0);
    public static readonly Errno EPERM = new(1);
    public static readonly Errno ENOENT = new(2);
    public static readonly Errno ESRCH = new(3);
    public static readonly Errno EINTR = new(4);
    public static readonly Errno EIO = new(5);
    public static readonly Errno ENXIO = new(6);
    public static readonly Errno E2BIG = new(7);
    public static readonly Errno ENOEXEC = new(8);
    public static readonly Errno EBADF = new(9);
    public static readonly Errno ECHILD = new(10);
    public static readonly Errno EAGAIN = new(11);
    public static readonly Errno ENOMEM = new(12);
    public static readonly Errno EACCES = new(13);
    public static readonly Errno EBUSY = new(16);
    public static readonly Errno EEXIST = new(17);
    public static readonly Errno ENODEV = new(19);
    public static readonly Errno ENOTDIR = new(20);
    public static readonly Errno EISDIR = new(21);
    public static readonly Errno EINVAL = new(22);
    public static readonly Errno ENFILE = new(23);
    public static readonly Errno EMFILE = new(24);
    public static readonly Errno ETXTBSY = new(26);
    public static readonly Errno ENOSPC = new(28);
    public static readonly Errno EROFS = new(30);
    public static readonly Errno EPIPE = new(32);
    public static readonly Errno ENAMETOOLONG = new(36);
    public static readonly Errno ENOSYS = new(38);
    public static readonly Errno ELOOP = new(40);
    public static readonly Errno EOVERFLOW = new(75);
    public static readonly Errno EMSGSIZE = new(90);
    public static readonly Errno EPROTONOSUPPORT = new(93);
    public static readonly Errno EOPNOTSUPP = new(95);
    public static readonly Errno EAFNOSUPPORT = new(97);
    public static readonly Errno EADDRINUSE = new(98);
    public static readonly Errno EADDRNOTAVAIL = new(99);
    public static readonly Errno ECONNABORTED = new(103);
    public static readonly Errno ECONNRESET = new(104);
    public static readonly Errno ENOBUFS = new(105);
    public static readonly Errno ENOTCONN = new(107);
    public static readonly Errno ETOOMANYREFS = new(109);
    public static readonly Errno ETIMEDOUT = new(110);
    public static readonly Errno ECONNREFUSED = new(111);
    public static readonly Errno EINPROGRESS = new(115);
    public static readonly Errno ESTALE = new(116);

    /// <summary>The error of the last P/Invoke with SetLastError on this thread.</summary>
    public static Errno Last => new(Marshal.GetLastPInvokeError());

    /// <summary>Descriptors or memory have run out, of the process or the system: the same call may succeed later.</summary>
    public bool IsShortage => this == EMFILE || this == ENFILE || this == ENOMEM || this == ENOBUFS;

    /// <summary>The C library's sentence, such as <c>No such file or directory</c>.</summary>
    public string Text => Marshal.GetPInvokeErrorMessage(Value);

    /// <inheritdoc/>
    public override string ToString() => Text;
}
