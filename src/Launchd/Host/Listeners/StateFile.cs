using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;

namespace Launchd.Host.Listeners;

/// <summary>
/// The file of the supervisor's state in its runtime directory, by which a supervisor goes on that is started when this one and its keeper
/// were killed. An end in order removes it.
/// </summary>
/// <param name="place">A directory in memory that is this user's own, borrowed; null: there is none, and so no such file.</param>
internal readonly struct StateFile(FileDescriptor? place)
{
    /// <summary>No notify socket has this name.</summary>
    public const string Name = "state";

    private const int Mode = 0b110_000_000;

    /// <summary>
    /// An empty file in the place of one that is there, for the caller. Null with the reason: EOPNOTSUPP, there is no place for it.
    /// </summary>
    public FileDescriptor? Make(out Errno refused)
    {
        refused = Errno.EOPNOTSUPP;
        if (place is null)
            return null;
        _ = Files.Unlink(place, Name);
        return Files.Make(place, Name, Mode, out refused);
    }

    /// <summary>
    /// What a supervisor before this one has left, for the caller. Null with the reason, in words: there is nothing, or it is not this
    /// user's own file that nobody else may read.
    /// </summary>
    public FileDescriptor? Open(out string why)
    {
        why = "it has left no state in memory";
        if (place is null)
            return null;
        if (Files.OpenToChange(place, Name, out Errno refused) is not { } file)
        {
            why = refused == Errno.ENOENT ? why : $"its state cannot be opened: {refused.Text}";
            return null;
        }
        why = "what lies in the place of its state is not a file of this user alone";
        bool isOwn = FileStatus.Read(file, out FileStatus status) == Errno.None && status.Uid == Libc.geteuid()
            && status is { Kind: FileKind.Regular, Mode: Mode, LinkCount: 1 } && FileSystems.IsInMemory(file);
        if (isOwn)
            return file;
        file.Dispose();
        return null;
    }

    /// <summary>Nobody is to go on with it any more.</summary>
    public void Remove()
    {
        if (place is not null)
            _ = Files.Unlink(place, Name);
    }
}
