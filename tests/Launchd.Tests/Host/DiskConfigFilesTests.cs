using System.Net.Sockets;
using Launchd.Client;
using Launchd.Host.Startup;
using Launchd.Linux.Paths;
using Xunit;

namespace Launchd.Tests.Host;

public sealed class DiskConfigFilesTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("launchd-cs-").FullName;
    private readonly Dictionary<string, uint?> _owners = [];

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public void AGlobListsItsFilesSorted()
    {
        Write("b.toml");
        Write("a.toml");
        Write(".hidden.toml");
        Write("c.txt");

        Assert.Equal([At("a.toml"), At("b.toml")], Files().List(At("*.toml")));
        Assert.Empty(Files().List(At("missing/*.toml")));
    }

    [Fact]
    public void WhatCannotBeReadIsASentence()
    {
        Assert.Equal("does not exist", Files().Read(At("missing"), 10).Problem);
        Assert.Equal("is a directory", Files().Read(_directory, 10).Problem);
        Assert.Equal(3, Files().Read(Write("a"), 3).Bytes.Length);
    }

    [Fact]
    public async Task OnlyARegularFileIsRead_AndNothingIsWaitedFor()
    {
        using FileDescriptor directory = FileOpener.OpenDirectory(_directory).Value;
        Assert.Equal(Errno.None, Launchd.Linux.Paths.Files.MakeFifo(directory, "fifo", 0b110_000_000));
        using Socket socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(At("socket")));
        _ = File.CreateSymbolicLink(At("link"), "fifo");

        Assert.Equal("is a FIFO, not a regular file", await Problem(At("fifo")));
        Assert.Equal("is a FIFO, not a regular file", await Problem(At("link")));
        Assert.Equal("is a socket, not a regular file", await Problem(At("socket")));
        Assert.Equal("is a character device, not a regular file", await Problem("/dev/zero"));
        Assert.Equal("does not exist", await Problem(At("fifo/below")));

        Task<string?> Problem(string path) => Task.Run(() => Files().Read(path, 10).Problem).WaitAsync(TimeSpan.FromSeconds(30));
    }

    [Fact]
    public void AFileIsReadToItsEnd_HoweverLongItSaysItIs() => Assert.NotEmpty(Files().Read("/proc/version", 10_000).Bytes);

    [Fact]
    public void AFileBelowAStickyDirectoryIsTrusted() => Assert.Null(Files().FindDistrust(Write("a.toml")));

    [Fact]
    public void AFileThatOthersMayWriteIsNotTrusted()
    {
        string path = Write("a.toml");
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.GroupWrite);

        Assert.Equal($"'{path}' may be written by others (mode 0420)", Files().FindDistrust(path));
    }

    [Fact]
    public void AFileOfAnotherUserIsNotTrusted_ADirectoryOfAnotherUserIs()
    {
        string path = Write("a.toml");
        _owners[_directory] = 1000;
        Assert.Null(Files().FindDistrust(path));

        _owners[path] = 1000;
        Assert.Equal($"'{path}' belongs to user 1000", Files().FindDistrust(path));
    }

    [Fact]
    public void ADirectoryThatOthersMayWriteIsNotTrusted_UnlessItIsSticky()
    {
        string path = Write("a.toml");
        File.SetUnixFileMode(
            _directory, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.OtherWrite);
        Assert.Equal($"'{_directory}' may be written by others (mode 0702)", Files().FindDistrust(path));

        File.SetUnixFileMode(_directory, File.GetUnixFileMode(_directory) | UnixFileMode.StickyBit);
        Assert.Null(Files().FindDistrust(path));
    }

    [Fact]
    public void WhatWasOpenedIsJudged_NotWhatTheNameMeantBefore()
    {
        // As if another user had put a file of his own in the place of the one that was checked.
        string path = Write("a.toml");
        DiskConfigFiles files = new(asked => asked == path ? 0u : 1000u, userId: 0);
        Assert.Null(files.FindDistrust(path));

        Assert.Equal($"cannot be trusted: '{path}' belongs to user 1000", files.Read(path, 100).Problem);
    }

    [Fact]
    public void WhereTheOperatorSaysSoNobodyIsDistrusted()
    {
        string path = Path.Combine(_directory, "open.toml");
        File.WriteAllText(path, "x");
        File.SetUnixFileMode(path, (UnixFileMode)0b110_110_110);
        DiskConfigFiles trusting = new(_ => 1000u, userId: 0, areTrusted: true);

        Assert.Null(trusting.FindDistrust(path));
        Assert.Equal("x"u8.ToArray(), trusting.Read(path, 100).Bytes.ToArray());
    }

    private DiskConfigFiles Files() => new(path => _owners.GetValueOrDefault(path, 0u), userId: 0);

    private string At(string name) => Path.Join(_directory, name);

    private string Write(string name)
    {
        File.WriteAllText(At(name), "# text");
        return At(name);
    }
}
