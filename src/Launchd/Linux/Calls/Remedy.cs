using Launchd.Client;

namespace Launchd.Linux.Calls;

/// <summary>What can be done about a refusal, in a few words, where it is known; else null.</summary>
internal static class Remedy
{
    public static string? ForSocket(Errno refused, string family) =>
        refused == Errno.EAFNOSUPPORT || refused == Errno.EPROTONOSUPPORT ? $"this kernel has no {family}"
        : refused == Errno.EMFILE ? "this process has no descriptor left; raise its limit nofile"
        : refused == Errno.EPERM || refused == Errno.EACCES ? "a security policy of this system or container forbids it"
        : null;

    public static string? ForPath(Errno refused) => refused.Value switch
    {
        1 or 13 => "this user may not write to the directory",
        20 => "a component of the path is not a directory",
        21 => "the path is a directory",
        30 => "the file system is mounted read-only",
        40 => "a symbolic link is not followed here, or links form a loop",
        28 => "the file system is full",
        _ => null,
    };

    public static string? ForDirectory(string directory, Errno refused) => refused.Value switch
    {
        2 => $"the directory {directory} does not exist",
        1 or 13 => $"this user may not enter or make {directory}",
        20 => $"a component of {directory} is not a directory",
        30 => $"{directory} cannot be made on a file system that is mounted read-only",
        _ => null,
    };

    public static string? ForOwner(Errno refused) => refused == Errno.EPERM ? "only root may give a file to another user or group" : null;
}
