using System.Globalization;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;

namespace Launchd.Linux.Processes;

/// <summary>A user of the system's database. For a number without an entry only <see cref="Uid"/> and <see cref="Gid"/> mean
/// something.</summary>
/// <param name="Name">Null without an entry.</param>
/// <param name="Uid">The user's number.</param>
/// <param name="Gid">The user's own group; for a number without an entry the number again.</param>
/// <param name="Home">Null without an entry.</param>
/// <param name="Shell">Null without an entry.</param>
internal sealed record UserRecord(string? Name, uint Uid, uint Gid, string? Home, string? Shell);

/// <summary>Either an answer, or <see cref="Errno.ENOENT"/> for "there is none", or the error of the lookup.</summary>
internal readonly record struct LookupResult<T>(T? Value, Errno Errno)
{
    public bool IsFound => Errno == Errno.None;
    public bool IsMissing => Errno == Errno.ENOENT;
}

/// <summary>
/// Users and groups by name or number. The lookups may wait for a directory service, and they are the C library's: call
/// them at the start or on a thread that may block.
/// </summary>
internal static unsafe class Identity
{
    private const int FirstBufferBytes = 1024;
    private const int LargestBufferBytes = 1024 * 1024;
    private const int LargestGroupCount = 65536;

    /// <summary>A user by name, or by decimal number; a number needs no entry.</summary>
    public static LookupResult<UserRecord> FindUser(string nameOrNumber)
    {
        bool isNumber = TryNumber(nameOrNumber, out uint uid);
        byte[] name = CString.From(nameOrNumber);
        for (int size = FirstBufferBytes; ; size *= 2)
        {
            Libc.passwd entry;
            Libc.passwd* found = null;
            int error;
            byte[] buffer = new byte[size];
            fixed (byte* text = buffer, wanted = name)
            {
                error = isNumber ? Libc.getpwuid_r(uid, &entry, text, (nuint)size, &found)
                    : Libc.getpwnam_r(wanted, &entry, text, (nuint)size, &found);
                if (error == 0 && found != null)
                {
                    return new(new UserRecord(CString.Read(entry.pw_name), entry.pw_uid, entry.pw_gid, CString.Read(entry.pw_dir),
                        CString.Read(entry.pw_shell)), Errno.None);
                }
            }
            if (ShouldRetry(error, size))
                continue;
            Errno refused = Meaning(error);
            return isNumber && refused == Errno.ENOENT ? new(new UserRecord(null, uid, uid, null, null), Errno.None) : new(null, refused);
        }
    }

    /// <summary>The number of a group, by name or decimal number; a number needs no entry.</summary>
    public static LookupResult<uint> FindGroup(string nameOrNumber)
    {
        if (TryNumber(nameOrNumber, out uint gid))
            return new(gid, Errno.None);
        byte[] name = CString.From(nameOrNumber);
        for (int size = FirstBufferBytes; ; size *= 2)
        {
            Libc.group entry;
            Libc.group* found = null;
            int error;
            byte[] buffer = new byte[size];
            fixed (byte* text = buffer, wanted = name)
                error = Libc.getgrnam_r(wanted, &entry, text, (nuint)size, &found);
            if (error == 0 && found != null)
                return new(entry.gr_gid, Errno.None);
            if (!ShouldRetry(error, size))
                return new(0, Meaning(error));
        }
    }

    /// <summary>The name of a group number, null without an entry or when the lookup fails: for display.</summary>
    public static string? NameOfGroup(uint gid)
    {
        for (int size = FirstBufferBytes; ; size *= 2)
        {
            Libc.group entry;
            Libc.group* found = null;
            byte[] buffer = new byte[size];
            fixed (byte* text = buffer)
            {
                int error = Libc.getgrgid_r(gid, &entry, text, (nuint)size, &found);
                if (error == 0 && found != null)
                    return CString.Read(entry.gr_name);
                if (!ShouldRetry(error, size))
                    return null;
            }
        }
    }

    /// <summary>All groups of a user by name, its own (<paramref name="gid"/>) among them, as initgroups(3) would set them.</summary>
    public static uint[] GroupsOf(string userName, uint gid)
    {
        byte[] name = CString.From(userName);
        int room = 32;
        while (true)
        {
            uint[] groups = new uint[room];
            int count = room;
            int result;
            fixed (byte* user = name)
            fixed (uint* start = groups)
                result = Libc.getgrouplist(user, gid, start, &count);
            if (result >= 0)
                return groups[..count];
            // getgrouplist(3): the count that would fit is returned, on some systems too small again.
            room = Math.Max(count, checked(room * 2));
            if (room > LargestGroupCount)
                throw new SystemCallException("getgrouplist", userName, Errno.EOVERFLOW);
        }
    }

    /// <summary>Whether this process may give a file of its own to a group: one that it is in itself, or any as root (chown(2)).</summary>
    public static bool MayGiveTo(uint group)
    {
        if (Libc.geteuid() == 0 || Libc.getegid() == group)
            return true;
        Tmds.Linux.gid_t* groups = stackalloc Tmds.Linux.gid_t[LargestGroupCount / 64];
        int count = Tmds.Linux.LibC.getgroups(LargestGroupCount / 64, groups);
        for (int i = 0; i < count; i++)
        {
            if (groups[i] == group)
                return true;
        }
        // The process has more groups than there is room for, so it cannot be told; the kernel will decide.
        return count < 0;
    }

    private static bool TryNumber(string text, out uint number) =>
        uint.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out number) && number != uint.MaxValue;

    private static bool ShouldRetry(int error, int size) =>
        (error == Range && size < LargestBufferBytes) || error == Errno.EINTR.Value;

    // getpwnam(3), ERRORS: "no entry" comes as 0 or as one of several numbers, depending on the directory service.
    private static Errno Meaning(int error) =>
        new Errno(error) is var errno
        && (error == 0 || errno == Errno.ENOENT || errno == Errno.ESRCH || errno == Errno.EBADF || errno == Errno.EPERM) ? Errno.ENOENT
            : new(error);

    private const int Range = 34;
}
