using Launchd.Client;
using Launchd.Host.Listeners;
using Launchd.Linux.Paths;
using Xunit;

namespace Launchd.Tests.Host;

public sealed class StateFileTests : IDisposable
{
    // Always in memory on Linux, where Docker and systemd mount it.
    private readonly string _path = Directory.CreateDirectory($"/dev/shm/launchd-cs-test-{Guid.NewGuid():N}").FullName;
    private readonly FileDescriptor _place;

    public StateFileTests() => _place = Files.OpenDirectory(_path)!;

    [Fact]
    public void WhatWasMadeIsFound_UntilItIsRemoved()
    {
        StateFile state = new(_place);
        using FileDescriptor made = state.Make(out Errno refused) ?? throw new InvalidOperationException(refused.Text);

        using (FileDescriptor found = state.Open(out string why) ?? throw new InvalidOperationException(why))
            Assert.True(StatusOf(made).IsSameFile(StatusOf(found)));
        // Another supervisor begins anew, whatever lies there.
        using (FileDescriptor other = state.Make(out refused)!)
            Assert.False(StatusOf(made).IsSameFile(StatusOf(other)));
        state.Remove();
        Assert.Null(state.Open(out string gone));
        Assert.Contains("left no state", gone, StringComparison.Ordinal);
    }

    [Fact]
    public void WithoutAPlaceInMemoryThereIsNone()
    {
        StateFile state = new(null);

        Assert.Null(state.Make(out Errno refused));
        Assert.Equal(Errno.EOPNOTSUPP, refused);
        Assert.Null(state.Open(out _));
        state.Remove();
    }

    [Theory]
    [InlineData("link")]
    [InlineData("second name")]
    [InlineData("for others")]
    [InlineData("directory")]
    [InlineData("fifo")]
    public void WhatIsNotItsOwnFileIsNotRead(string what)
    {
        StateFile state = new(_place);
        state.Make(out _)!.Dispose();
        string path = Path.Combine(_path, StateFile.Name), moved = path + "2";
        switch (what)
        {
            case "link":
                File.Move(path, moved);
                _ = File.CreateSymbolicLink(path, moved);
                break;
            case "second name":
                Assert.Equal(Errno.None, Files.Link(_place, StateFile.Name, _place, "other"));
                break;
            case "for others":
                File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.OtherRead);
                break;
            case "directory":
                File.Delete(path);
                _ = Directory.CreateDirectory(path);
                break;
            default:
                File.Delete(path);
                Assert.Equal(Errno.None, Files.MakeFifo(_place, StateFile.Name, 0b110_000_000));
                break;
        }

        Assert.Null(state.Open(out string why));
        Assert.NotEmpty(why);
    }

    public void Dispose()
    {
        _place.Dispose();
        Directory.Delete(_path, recursive: true);
    }

    private static FileStatus StatusOf(FileDescriptor file)
    {
        Assert.Equal(Errno.None, FileStatus.Read(file, out FileStatus status));
        return status;
    }
}
