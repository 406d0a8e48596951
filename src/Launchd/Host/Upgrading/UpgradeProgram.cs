using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;

namespace Launchd.Host.Upgrading;

/// <summary>
/// The program that is to take the supervisor's place. Whoever decides about its file decides what runs with the supervisor's rights, so
/// that a supervisor of root takes none about which somebody else could decide, by the rule for its configuration.
/// </summary>
internal static class UpgradeProgram
{
    private const string Removed = " (deleted)";
    private const int AnyExecute = 0b001_001_001, OthersWrite = 0b000_010_010;

    /// <summary>
    /// The path of the file from which this process was executed, at which another file may be by now. Null: /proc does not tell.
    /// </summary>
    public static string? OwnPath => Files.ReadLink(null, "/proc/self/exe") is { } path
        ? path.EndsWith(Removed, StringComparison.Ordinal) ? path[..^Removed.Length] : path : null;

    /// <summary>Opens the file, which may take as long as its file system likes, and reads nothing of it.</summary>
    /// <param name="path">Absolute.</param>
    /// <param name="findDistrust">Why a path is not trusted; null: it is.</param>
    /// <returns>O_PATH; the caller owns it.</returns>
    public static OpenedProgram Open(string path, Func<string, string?> findDistrust)
    {
        if (Files.OpenNode(path, out Errno refused) is not { } file)
        {
            return new OpenedProgram(null, refused == Errno.ENOENT || refused == Errno.ENOTDIR
                ? $"there is no file {path}" : $"{path} cannot be opened: {refused.Text}");
        }
        string? why = FaultOf(file, path, findDistrust);
        if (why is null)
            return new OpenedProgram(file, null);
        file.Dispose();
        return new OpenedProgram(null, why);
    }

    private static string? FaultOf(FileDescriptor file, string path, Func<string, string?> findDistrust)
    {
        if (FileStatus.Read(file, out FileStatus status) is { Value: not 0 } hidden)
            return $"{path} cannot be looked at: {hidden.Text}";
        if (status.Kind != FileKind.Regular)
            return $"{path} is {status.KindText}, and no program";
        if ((status.Mode & AnyExecute) == 0)
            return $"{path} is not executable: chmod +x";
        if (Libc.geteuid() != 0)
            return null;
        // What was opened is judged, and then the way to it: another file may have the name by now.
        if (status.Uid != 0 || (status.Mode & OthersWrite) != 0)
        {
            string mode = Convert.ToString(status.Mode, 8).PadLeft(4, '0');
            return $"{path} cannot be trusted: it belongs to user {status.Uid} and has mode {mode}, so that others than root can change it";
        }
        return findDistrust(path) is { } distrust ? $"{path} cannot be trusted: {distrust}" : null;
    }
}

/// <summary>A program that was opened, or why not.</summary>
/// <param name="File">Owned by whoever has this; null: it was not.</param>
/// <param name="Why">A sentence without its end; null: it was.</param>
internal sealed record OpenedProgram(FileDescriptor? File, string? Why);
