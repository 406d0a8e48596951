using System.Runtime.InteropServices;

// Structs keep the kernel's names, which are lower case.
#pragma warning disable CS8981

namespace Launchd.Interop;

// getpwnam(3), getgrnam(3), getgrouplist(3)
internal static unsafe partial class Libc
{
    // These return the error number themselves; errno is not their channel.
    [LibraryImport("libc")]
    public static partial int getpwnam_r(byte* name, passwd* pwd, byte* buf, nuint buflen, passwd** result);

    [LibraryImport("libc")]
    public static partial int getpwuid_r(uint uid, passwd* pwd, byte* buf, nuint buflen, passwd** result);

    [LibraryImport("libc")]
    public static partial int getgrnam_r(byte* name, group* grp, byte* buf, nuint buflen, group** result);

    [LibraryImport("libc")]
    public static partial int getgrgid_r(uint gid, group* grp, byte* buf, nuint buflen, group** result);

    [LibraryImport("libc")]
    public static partial int getgrouplist(byte* user, uint group, uint* groups, int* ngroups);

    [StructLayout(LayoutKind.Sequential)]
    public struct passwd
    {
        public byte* pw_name;
        public byte* pw_passwd;
        public uint pw_uid;
        public uint pw_gid;
        public byte* pw_gecos;
        public byte* pw_dir;
        public byte* pw_shell;
    }

    [StructLayout(LayoutKind.Sequential)]
    public struct group
    {
        public byte* gr_name;
        public byte* gr_passwd;
        public uint gr_gid;
        public byte** gr_mem;
    }
}
