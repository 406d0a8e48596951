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
internal sealed class DiskConfigFiles(Func<string, uint?> ownerOf, uint userId) : IConfigFiles
{
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
        if (userId == 0)
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
            found.RemoveAll(path => isLast ? !File.Exists(path) : !Directory.Exists(path));
        }
        found.Sort(StringComparer.Ordinal);
        return found;
    }

    public string? FindDistrust(string absolutePath)
    {
        try
        {
            // What a link points to counts as well as the way to the link.
            if (FindDistrustAlong(absolutePath) is { } distrust)
                return distrust;
            FileSystemInfo? target = File.ResolveLinkTarget(absolutePath, returnFinalTarget: true);
            return target is null ? null : FindDistrustAlong(target.FullName);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return $"cannot be checked: {FileFault.Text(e)}";
        }
    }

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
        if (FindDistrustOf(owner, File.GetUnixFileMode(absolutePath), absolutePath) is { } distrust)
            return distrust;
        for (string? path = Path.GetDirectoryName(absolutePath); path is not null; path = Path.GetDirectoryName(path))
        {
            // A directory may belong to the user of a service. That user could remove the configuration file, but not put another one
            // there that would be read, because files of that user are not trusted. In a sticky directory, such as /tmp, others can
            // add entries, but not replace one that is not theirs.
            UnixFileMode mode = File.GetUnixFileMode(path);
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
        try
        {
            return [.. Directory.EnumerateFileSystemEntries(directory).Where(path => Matches(Path.GetFileName(path), pattern))];
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // A directory that cannot be listed has no matches, as with a shell's pattern.
            return [];
        }
    }

    private static bool Matches(string name, string pattern) =>
        (name[0] != '.' || pattern[0] == '.') && FileSystemName.MatchesSimpleExpression(pattern, name, ignoreCase: false);
}
