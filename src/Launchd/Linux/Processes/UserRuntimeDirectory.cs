using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Processes;

/// <summary>
/// What <c>XDG_RUNTIME_DIR</c> names. <c>su</c>, <c>sudo -E</c> and containers hand it on from another user, in whose directory nothing of
/// ours may be made or believed: then it is passed over, and so is one that does not exist.
/// </summary>
internal static class UserRuntimeDirectory
{
    private const string Variable = "XDG_RUNTIME_DIR";

    /// <summary>The directory, absolute; null: the variable names none of this user's.</summary>
    public static string? Own => OwnStart.Variable(Variable) is ['/', ..] named && IsOwn(named) ? named : null;

    /// <summary>Whether a directory belongs to this process's effective user.</summary>
    public static bool IsOwn(string path) =>
        FileStatus.ReadFollow(path, out FileStatus status) == Errno.None && status.Uid == Libc.geteuid();

    /// <summary>For people: why the directory is not used; null: it is, or none is named.</summary>
    public static string? WhyPassedOver()
    {
        if (OwnStart.Variable(Variable) is not ['/', ..] named || IsOwn(named))
            return null;
        Errno refused = FileStatus.ReadFollow(named, out FileStatus status);
        string why = refused != Errno.None ? refused.Text : $"it belongs to {(status.Uid == 0 ? "root" : $"user {status.Uid}")}";
        return $"{Variable} is passed over: {named}: {why}";
    }
}
