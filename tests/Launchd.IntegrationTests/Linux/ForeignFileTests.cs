using System.Runtime.InteropServices;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Calls;
using Launchd.Linux.Listening;
using Launchd.Linux.Paths;
using Xunit;
using static Tmds.Linux.LibC;

namespace Launchd.IntegrationTests.Linux;

/// <summary>
/// What root opens for a service where somebody else decides about the path. Nobody is the service's user, Other a stranger. Beside no test
/// that starts processes: a child has a copy of a FIFO's reader until it executes its program.
/// </summary>
[Collection(nameof(Host.Supervisors))]
public sealed partial class ForeignFileTests : IDisposable
{
    private const uint Nobody = 65534, Other = 61234;
    private static readonly Credentials Service = new(Nobody, Nobody, [Nobody]);

    private readonly TemporaryDirectory _directory = new();
    private readonly string _secret = "";
    private readonly string _own = "";

    public ForeignFileTests()
    {
        if (!Environment.IsPrivilegedProcess)
            return;
        Mode(_directory.Path, 0b111_101_101);
        _own = MakeDirectory("own", Nobody);
        _secret = Write("secret", 0, "of root");
    }

    public void Dispose() => _directory.Dispose();

    [FactWhenRoot]
    public void ALinkOfTheUserLeadsNoFurtherThanHeMayGo()
    {
        string link = Link("own/link", _secret, Nobody);
        foreach (OpenAccess access in Enum.GetValues<OpenAccess>())
            Assert.Equal(Errno.EACCES, Failure(link, access).Errno);
        string text = Failure(link).ToString();
        Assert.Contains($"{link}, a link that user {Nobody} decides about, leads to {_secret}", text, StringComparison.Ordinal);
        Assert.Contains("with the service's rights alone", text, StringComparison.Ordinal);
        // A directory on the way is as good as the file itself.
        _ = MakeDirectory("closed", 0, 0b111_000_000);
        _ = Write("closed/in", 0, "of root", 0b110_100_100);
        _ = Link("own/way", _directory["closed"], Nobody);
        Assert.Equal(Errno.EACCES, Failure(_directory["own/way/in"]).Errno);
        Assert.Equal(Errno.EACCES, Failure(_directory["own/way/made"], OpenAccess.Append, 0b110_100_000).Errno);
        Assert.False(File.Exists(_directory["closed/made"]));
        Assert.Equal("of root", File.ReadAllText(_secret));
    }

    [FactWhenRoot]
    public void WhatTheUserMayOpenHimselfIsOpened_WhoeverOwnsIt()
    {
        _ = Write("open", 0, "for all", 0b110_100_100);
        _ = Link("own/link", _directory["open"], Nobody);
        Assert.Equal("for all", Read(_directory["own/link"]));
        Assert.Equal(Errno.EACCES, Failure(_directory["own/link"], OpenAccess.Append).Errno);
        // Its own file, closed to everybody, by a link of its own.
        _ = Write("own/file", Nobody, "of nobody", 0);
        _ = Link("own/alias", "file", Nobody);
        Assert.Equal("of nobody", Read(_directory["own/alias"]));
        Assert.Equal("of nobody", Read(_directory["own/../own/file"]));
        Open(_directory["own/dev"], OpenAccess.Append, 0b110_100_000).Dispose();
        Assert.Equal((Nobody, 0b110_100_000), OwnerAndMode(_directory["own/dev"]));
        _ = Link("own/null", "/dev/null", Nobody);
        Open(_directory["own/null"], OpenAccess.Append).Dispose();
    }

    [FactWhenRoot]
    public void RootsOwnLinksAreFollowed()
    {
        _ = Link("data", _own, 0);
        _ = Link("again", "data", 0);
        _ = Write("own/file", Nobody, "of nobody", 0b110_000_000);
        Assert.Equal("of nobody", Read(_directory["again/file"]));
        _ = Link("to-secret", "./secret", 0);
        Assert.Equal("of root", Read(_directory["to-secret"]));
        using FileDescriptor file = Open(_secret);
        Assert.Equal("of root", Read($"/proc/self/fd/{file.Number}"));
        Assert.Equal("of root", Read($"/dev/fd/{file.Number}"));
    }

    // fs.protected_hardlinks keeps a user from making one; where it is off, he can.
    [FactWhenRoot]
    public void AHardLinkIsNotTheUsersFile_NorAFileOfRootInHisDirectory()
    {
        HardLink(_secret, _directory["own/hard"]);
        Assert.Equal(Errno.EACCES, Failure(_directory["own/hard"]).Errno);
        _ = Write("own/kept", 0, "of root");
        Assert.Contains($"user {Nobody} may put anything at {_own}", Failure(_directory["own/kept"]).ToString(), StringComparison.Ordinal);
        // The same for whoever has no rights to fall back on, as a service of root.
        Assert.Equal(Errno.EPERM, FailureFor(null, _directory["own/hard"]).Errno);
        _ = Write("own/file", Nobody, "of nobody");
        Assert.Equal("of nobody", ReadFor(null, _directory["own/file"]));
        Assert.Equal(Errno.EPERM, FailureFor(null, Link("own/link", _secret, Nobody)).Errno);
    }

    [FactWhenRoot]
    public void NothingThatDependsOnWhoOpensIt()
    {
        string[] places =
            ["/proc/self/maps", "/proc/self/mem", "/proc/self/cwd", "/proc/self/fd/0", "/dev/tty", "/dev/ptmx", "/sys/kernel/mm", "/proc"];
        foreach (string place in places)
        {
            string link = Link("own/" + place.Replace('/', '-'), place, Nobody);
            Assert.True(Failure(link).Errno.Value > 0, place);
            // What belongs to him who leads there may be the kernel's all the same: a file of his own process.
            Assert.True(FailureFor(null, link).Errno.Value > 0, place);
        }
    }

    [FactWhenRoot]
    public void WhatIsPutThereNeverKeepsRootWaiting()
    {
        MakeFifo("own/fifo", Nobody);
        Open(_directory["own/fifo"]).Dispose();
        Assert.Contains("no reader", Failure(_directory["own/fifo"], OpenAccess.Append).ToString(), StringComparison.Ordinal);
        Assert.Equal(Errno.EACCES, Failure(MakeFifo("own/roots", 0)).Errno);
        _ = Link("own/one", "two", Nobody);
        _ = Link("own/two", "one", Nobody);
        Assert.Equal(Errno.ELOOP, Failure(_directory["own/one"]).Errno);
        _ = Link("own/long", string.Concat(Enumerable.Repeat("./../own/", 400)) + "long", Nobody);
        Assert.Equal(Errno.ELOOP, Failure(_directory["own/long"]).Errno);
        _ = MakeDirectory("own/directory", Nobody);
        Assert.True(Failure(_directory["own/directory"], OpenAccess.Append).Errno.Value > 0);
    }

    [FactWhenRoot]
    public void InADirectoryForAll_WhoeverMadeItDecides()
    {
        string shared = MakeDirectory("shared", 0, 0b1_111_111_111);
        _ = Write("shared/of-root", 0, "of root");
        _ = Write("shared/of-other", Other, "of other");
        Assert.Equal("of root", Read(_directory["shared/of-root"]));
        Assert.Equal(Errno.EACCES, Failure(_directory["shared/of-other"]).Errno);
        Assert.Equal("of other", ReadFor(null, _directory["shared/of-other"]));
        _ = Link("shared/link", _secret, Other);
        Assert.Equal(Errno.EACCES, Failure(_directory["shared/link"]).Errno);
        Assert.Equal(Errno.EPERM, FailureFor(null, _directory["shared/link"], OpenAccess.Append, 0b110_100_000).Errno);
        HardLink(_secret, _directory["shared/hard"]);
        Assert.Equal(Errno.EACCES, Failure(_directory["shared/hard"]).Errno);
        Open(_directory["shared/made"], OpenAccess.Append, 0b110_100_000).Dispose();
        Assert.Equal((Nobody, 0b110_100_000), OwnerAndMode(_directory["shared/made"]));
        // Without the sticky bit anybody can give root's file another name.
        Mode(shared, 0b111_111_111);
        Assert.Equal(Errno.EACCES, Failure(_directory["shared/of-root"]).Errno);
    }

    // As /var/log is on some systems: root's, and writable for the group of the system's logger.
    [FactWhenRoot]
    public void ADirectoryOfAnotherGroupIsRootsStill()
    {
        string logs = MakeDirectory("logs", 0, 0b111_111_101);
        Assert.Equal(0, Chown(logs, 0, Other));
        _ = Write("logs/kept", 0, "of root");
        Assert.Equal("of root", Read(_directory["logs/kept"]));
        Open(_directory["logs/made"], OpenAccess.Append, 0b110_100_000).Dispose();
        Assert.Equal((Nobody, 0b110_100_000), OwnerAndMode(_directory["logs/made"]));
        HardLink(_secret, _directory["logs/hard"]);
        Assert.Equal(Errno.EACCES, Failure(_directory["logs/hard"], OpenAccess.Append).Errno);
        // To one of that group it is his.
        Assert.Equal(Errno.EACCES, FailureFor(Service with { Groups = [Other] }, _directory["logs/kept"]).Errno);
    }

    [FactWhenRoot]
    public void ADirectoryIsGivenAsAPlaceOnlyIfItsUserMayGoThere()
    {
        _ = MakeDirectory("closed", 0, 0b111_000_000);
        _ = MakeDirectory("closed/inner", 0, 0b111_101_101);
        _ = Link("own/place", _directory["closed/inner"], Nobody);
        _ = MakeDirectory("own/inner", Nobody);
        Assert.Equal(Errno.EACCES, FileOpener.OpenDirectory(_directory["own/place"], Service).Failure?.Errno);
        Assert.Equal(Errno.EPERM, FileOpener.OpenDirectory(_directory["own/place"]).Failure?.Errno);
        Assert.Equal(Errno.ENOENT, FileOpener.OpenDirectory(_directory["own/missing"], Service).Failure?.Errno);
        FileOpener.OpenDirectory(_directory["own/inner"], Service).Value.Dispose();
        FileOpener.OpenDirectory(_directory["closed/inner"], Service).Value.Dispose();
    }

    [FactWhenRoot]
    public void WhatIsMadeLiesInADirectoryThatNobodyElseLedTo()
    {
        string roots = MakeDirectory("roots", 0);
        _ = Link("own/way", roots, Nobody);
        _ = MakeDirectory("own/inner", Nobody);
        _ = Link("own/near", "inner", Nobody);
        ListenerRequest request = new() { Endpoints = [new ListenAddress.Unix(UnixSocketKind.Stream, _directory["own/way/s"], false)] };
        Assert.Contains("a link that user", ListenerOpener.Open(request).Failure?.ToString(), StringComparison.Ordinal);
        ListenerRequest deep = request with
        {
            Endpoints = [new ListenAddress.Fifo(_directory["own/way/deep/f"])], DirectoryMode = 0b111_101_101,
        };
        Assert.Contains("a link that user", ListenerOpener.Open(deep).Failure?.ToString(), StringComparison.Ordinal);
        Assert.Contains("a link that user",
            UnixPath.MakeAlias(_directory["own/way/a"], "/x", 0b111_101_101).Failure?.ToString(), StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(roots));

        // What root has made in his tree is root's, and stays usable; only a link gets him out of it.
        for (int turn = 0; turn < 2; turn++)
        {
            ListenerOpener.Open(request with
            {
                Endpoints = [new ListenAddress.Unix(UnixSocketKind.Stream, _directory["own/made/deep/s"], false)],
                DirectoryMode = 0b111_101_101,
            }).Value.Undo();
        }
        Assert.Equal((0u, 0b111_101_101), OwnerAndMode(_directory["own/made/deep"]));

        // His own directory, by his own link: what is made there is his affair.
        OpenedListeners listeners = ListenerOpener.Open(request with
        {
            Endpoints = [new ListenAddress.Unix(UnixSocketKind.Stream, _directory["own/near/s"], false)],
            Owner = new PathOwner(Nobody, Nobody),
            Mode = 0b110_000_000,
        }).Value;
        Assert.Equal((Nobody, 0b110_000_000), OwnerAndMode(_directory["own/inner/s"]));
        listeners.Undo();
        Assert.Empty(Directory.GetFileSystemEntries(_directory["own/inner"]));
    }

    private static FileDescriptor Open(string path, OpenAccess access = OpenAccess.Read, int? createMode = null) =>
        FileOpener.Open(Request(path, access, createMode, Service)).Value;

    private static OpenFailure Failure(string path, OpenAccess access = OpenAccess.Read, int? createMode = null) =>
        FailureFor(Service, path, access, createMode);

    private static OpenFailure FailureFor(Credentials? user, string path, OpenAccess access = OpenAccess.Read, int? createMode = null)
    {
        OpenResult<FileDescriptor> result = FileOpener.Open(Request(path, access, createMode, user));
        Assert.True(result.Failure is not null, $"{path} was opened");
        return result.Failure;
    }

    private static string Read(string path) => ReadFor(Service, path);

    private static string ReadFor(Credentials? user, string path)
    {
        using FileDescriptor file = FileOpener.Open(Request(path, OpenAccess.Read, null, user)).Value;
        return System.Text.Encoding.UTF8.GetString(Files.ReadBytes(file, 100, out _)!);
    }

    private static FileRequest Request(string path, OpenAccess access, int? createMode, Credentials? user) => new()
    {
        Path = path, Access = access, CreateMode = createMode, User = user,
        Owner = user is null ? PathOwner.Own : new PathOwner(user.Uid, user.Gid),
    };

    private string MakeDirectory(string name, uint owner, int mode = 0b111_101_101)
    {
        Directory.CreateDirectory(_directory[name]);
        Assert.Equal(0, Chown(_directory[name], owner, owner));
        return Mode(_directory[name], mode);
    }

    private string Write(string name, uint owner, string text, int mode = 0b110_000_000)
    {
        File.WriteAllText(_directory[name], text);
        Assert.Equal(0, Chown(_directory[name], owner, owner));
        return Mode(_directory[name], mode);
    }

    private string Link(string name, string target, uint owner)
    {
        File.CreateSymbolicLink(_directory[name], target);
        Assert.Equal(0, ChownLink(_directory[name], owner, owner));
        return _directory[name];
    }

    private unsafe string MakeFifo(string name, uint owner)
    {
        fixed (byte* path = CString.From(_directory[name]))
            Assert.Equal(0, mkfifo(path, 0b110_000_000));
        Assert.Equal(0, Chown(_directory[name], owner, owner));
        return _directory[name];
    }

    private static unsafe void HardLink(string from, string to)
    {
        fixed (byte* old = CString.From(from), path = CString.From(to))
            Assert.Equal(0, link(old, path));
    }

    private static string Mode(string path, int mode)
    {
        File.SetUnixFileMode(path, (UnixFileMode)mode);
        return path;
    }

    private static (uint Uid, int Mode) OwnerAndMode(string path)
    {
        Assert.Equal(Errno.None, FileStatus.ReadFollow(path, out FileStatus status));
        return (status.Uid, status.Mode);
    }

    [LibraryImport("libc", EntryPoint = "chown", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Chown(string path, uint user, uint group);

    [LibraryImport("libc", EntryPoint = "lchown", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int ChownLink(string path, uint user, uint group);
}
