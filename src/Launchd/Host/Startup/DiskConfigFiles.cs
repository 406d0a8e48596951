using System.IO.Enumeration;
using Launchd.Client;
using Launchd.Config.Sources;
using Launchd.Linux.Paths;

namespace Launchd.Host.Startup;

/// <summary>
/// The real file system. Only regular files are read: a FIFO or a terminal would make the reader wait, opening a device may do something,
/// and a supervisor that is told to reload has no standard input that it could read a second time.
/// </summary>
/// <param name="ownerOf">The owner's uid of a path, links followed (stat(2)), or null if it cannot be told.</param>
/// <param name="userId">The supervisor's effective uid, whose files are trusted beside root's.</param>
/// <param name="areTrusted">Whoever may change them: the operator has said so.</param>
internal sealed class DiskConfigFiles(Func<string, uint?> ownerOf, uint userId, bool areTrusted = false) : IConfigFiles
{
    /// <summary>As many links as the kernel follows, path_resolution(7).</summary>
    private const int MostLinks = 40;

    private const UnixFileMode OthersMayWrite = UnixFileMode.GroupWrite | UnixFileMode.OtherWrite;

    public ConfigFileContent Read(string absolutePath, int mostBytes)
    {
        if (FileStatus.ReadFollow(absolutePath, out FileStatus named) is { Value: not 0 } hidden)
            return Refused(hidden);
        if (WhyNoFile(named) is { } other)
            return ConfigFileContent.Failed(other);
        // Another file may have the name by now: it is opened without waiting, and what was opened is judged once more.
        using FileDescriptor? file = Files.OpenToRead(absolutePath, out Errno refused);
        if (file is null)
            return Refused(refused);
        refused = FileStatus.Read(file, out FileStatus opened);
        if (refused != Errno.None)
            return Refused(refused);
        if (WhyNoFile(opened) is { } exchanged)
            return ConfigFileContent.Failed(exchanged);
        if (userId == 0 && !areTrusted)
        {
            uint owner = ownerOf(Files.ProcPath(file)) ?? opened.Uid;
            if (FindDistrustOf(owner, (UnixFileMode)opened.Mode, absolutePath) is { } distrust)
                return ConfigFileContent.Failed($"cannot be trusted: {distrust}");
        }
        return Files.ReadBytes(file, mostBytes, out refused) is { } bytes ? new ConfigFileContent(bytes, null) : Refused(refused);
    }

    public IReadOnlyList<string> List(string absolutePattern)
    {
        List<string> found = ["/"];
        string[] parts = absolutePattern.Split('/', StringSplitOptions.RemoveEmptyEntries);
        for (int i = 0; i < parts.Length; i++)
        {
            bool isLast = i == parts.Length - 1;
            found = parts[i].AsSpan().ContainsAny('*', '?')
                ? [.. found.SelectMany(directory => Matching(directory, parts[i]))]
                : [.. found.Select(directory => Path.Join(directory, parts[i]))];
            found.RemoveAll(path => !Exists(path, isDirectory: !isLast));
        }
        found.Sort(StringComparer.Ordinal);
        return found;
    }

    public string? FindDistrust(string absolutePath)
    {
        if (areTrusted)
            return null;
        // What a link points to counts as well as the way to the link.
        string path = absolutePath;
        for (int links = 0; links <= MostLinks; links++)
        {
            if (FindDistrustAlong(path) is { } distrust)
                return distrust;
            if (Files.ReadLink(null, path) is not { } target)
                return null;
            path = Path.GetFullPath(target, Path.GetDirectoryName(path)!);
        }
        return $"cannot be checked: {Errno.ELOOP.Text}";
    }

    private static bool Exists(string path, bool isDirectory) =>
        FileStatus.ReadFollow(path, out FileStatus status) == Errno.None && (status.Kind == FileKind.Directory) == isDirectory;

    private static string? WhyNoFile(FileStatus status) => status.Kind switch
    {
        FileKind.Regular => null,
        FileKind.Directory => "is a directory",
        _ => $"is {status.KindText}, not a regular file",
    };

    private static ConfigFileContent Refused(Errno refused) =>
        refused == Errno.ENOENT || refused == Errno.ENOTDIR ? ConfigFileContent.Missing
        : ConfigFileContent.Failed(refused == Errno.EACCES ? "may not be read by this user" : $"cannot be read: {refused.Text}");

    private string? FindDistrustAlong(string absolutePath)
    {
        if (ownerOf(absolutePath) is not { } owner)
            return $"'{absolutePath}' has no owner that could be found";
        if (FileStatus.ReadFollow(absolutePath, out FileStatus file) is { Value: not 0 } hidden)
            return $"cannot be checked: {hidden.Text}";
        if (FindDistrustOf(owner, (UnixFileMode)file.Mode, absolutePath) is { } distrust)
            return distrust;
        for (string? path = Path.GetDirectoryName(absolutePath); path is not null; path = Path.GetDirectoryName(path))
        {
            // A directory may belong to the user of a service. That user could remove the configuration file, but not put another one
            // there that would be read, because files of that user are not trusted. In a sticky directory, such as /tmp, others can
            // add entries, but not replace one that is not theirs.
            if (FileStatus.ReadFollow(path, out FileStatus directory) is { Value: not 0 } unseen)
                return $"cannot be checked: {unseen.Text}";
            UnixFileMode mode = (UnixFileMode)directory.Mode;
            if ((mode & OthersMayWrite) != 0 && (mode & UnixFileMode.StickyBit) == 0)
                return WritableByOthers(path, mode);
        }
        return null;
    }

    private string? FindDistrustOf(uint owner, UnixFileMode mode, string shown)
    {
        if (owner != 0 && owner != userId)
            return $"'{shown}' belongs to user {owner}";
        return (mode & OthersMayWrite) == 0 ? null : WritableByOthers(shown, mode);
    }

    private static string WritableByOthers(string path, UnixFileMode mode) =>
        $"'{path}' may be written by others (mode {Convert.ToString((int)mode, 8).PadLeft(4, '0')})";

    private static string[] Matching(string directory, string pattern)
    {
        // A directory that cannot be listed has no matches, as with a shell's pattern.
        using FileDescriptor? opened = Files.OpenDirectory(directory);
        return opened is null ? []
            : [.. Files.Names(opened).Where(name => Matches(name, pattern)).Select(name => Path.Join(directory, name))];
    }

    private static bool Matches(string name, string pattern) =>
        (name[0] != '.' || pattern[0] == '.') && FileSystemName.MatchesSimpleExpression(pattern, name, ignoreCase: false);
}
