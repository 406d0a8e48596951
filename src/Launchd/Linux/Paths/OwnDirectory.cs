using Launchd.Client;
using Launchd.Interop;

namespace Launchd.Linux.Paths;

/// <summary>Directories that are this process's own: made with exactly one mode, never somebody else's, never reached by a link.</summary>
internal static class OwnDirectory
{
    private const int OwnerOnly = 0b111_000_000;

    /// <summary>Makes it if it is missing. Null: it cannot be had.</summary>
    /// <param name="parent">Borrowed.</param>
    /// <param name="name">In it.</param>
    /// <param name="mode">Permission bits, whatever the umask is.</param>
    /// <param name="refused">Why not.</param>
    /// <param name="owner">Whose it is, if it is not ours.</param>
    public static FileDescriptor? TryMake(FileDescriptor parent, string name, int mode, out Errno refused, out uint? owner)
    {
        owner = null;
        refused = Files.MakeDirectory(parent, name, mode & OwnerOnly);
        if (refused != Errno.None && refused != Errno.EEXIST)
            return null;
        FileDescriptor? directory = Files.OpenDirectory(parent, name, out refused);
        if (directory is null)
            return null;
        refused = FileStatus.Read(directory, out FileStatus status);
        if (refused == Errno.None && status.Uid != Libc.geteuid())
            (refused, owner) = (Errno.EPERM, status.Uid);
        if (refused == Errno.None)
            refused = Files.SetMode(directory, mode);
        if (refused == Errno.None)
            return directory;
        directory.Dispose();
        return null;
    }

    /// <summary>Unlinks the files in it, best effort.</summary>
    /// <param name="directory">Borrowed.</param>
    /// <param name="but">The name of one that stays; null: none does.</param>
    public static void Empty(FileDescriptor directory, string? but = null)
    {
        // From the beginning, wherever it was read to before.
        using FileDescriptor? names = Files.OpenDirectory(directory, ".", out _);
        foreach (string name in names is null ? [] : Files.Names(names).Where(n => n != but).ToArray())
            _ = Files.Unlink(directory, name);
    }
}
