using System.Runtime.InteropServices;

namespace Launchd.Interop;

/// <summary>
/// Numbers of the system calls that are made by number (syscalls(2)), mostly by a child before exec or by a thread that must not
/// use the runtime. They differ between architectures.
/// </summary>
internal static class SystemCallNumbers
{
    private static readonly bool IsX64 = RuntimeInformation.ProcessArchitecture == Architecture.X64;

    public static readonly int rt_sigaction = IsX64 ? 13 : 134;
    public static readonly int rt_sigprocmask = IsX64 ? 14 : 135;
    public static readonly int setsid = IsX64 ? 112 : 157;
    public static readonly int dup3 = IsX64 ? 292 : 24;
    public static readonly int close = IsX64 ? 3 : 57;
    public static readonly int close_range = 436;
    public static readonly int openat = IsX64 ? 257 : 56;
    public static readonly int openat2 = 437;
    public static readonly int read = IsX64 ? 0 : 63;
    public static readonly int write = IsX64 ? 1 : 64;
    public static readonly int fstat = IsX64 ? 5 : 80;
    public static readonly int statx = IsX64 ? 332 : 291;
    public static readonly int ioctl = IsX64 ? 16 : 29;
    public static readonly int prlimit64 = IsX64 ? 302 : 261;
    public static readonly int setpriority = IsX64 ? 141 : 140;
    public static readonly int umask = IsX64 ? 95 : 166;
    public static readonly int unshare = IsX64 ? 272 : 97;
    public static readonly int mount = IsX64 ? 165 : 40;
    public static readonly int chdir = IsX64 ? 80 : 49;
    public static readonly int prctl = IsX64 ? 157 : 167;
    public static readonly int setgroups = IsX64 ? 116 : 159;
    public static readonly int setresgid = IsX64 ? 119 : 149;
    public static readonly int setresuid = IsX64 ? 117 : 147;
    public static readonly int setfsuid = IsX64 ? 122 : 151;
    public static readonly int setfsgid = IsX64 ? 123 : 152;
    public static readonly int getresgid = IsX64 ? 120 : 150;
    public static readonly int getresuid = IsX64 ? 118 : 148;
    public static readonly int capset = IsX64 ? 126 : 91;
    public static readonly int getpid = IsX64 ? 39 : 172;
    public static readonly int getppid = IsX64 ? 110 : 173;
    public static readonly int recvmsg = IsX64 ? 47 : 212;
    public static readonly int pidfd_open = 434;
    public static readonly int exit_group = IsX64 ? 231 : 94;
    public static readonly int ptrace = IsX64 ? 101 : 117;
    public static readonly int epoll_ctl = IsX64 ? 233 : 21;
    public static readonly int getdents64 = IsX64 ? 217 : 61;
    public static readonly int getrandom = IsX64 ? 318 : 278;
    public static readonly int futex = IsX64 ? 202 : 98;
    public static readonly int execve = IsX64 ? 59 : 221;
}
