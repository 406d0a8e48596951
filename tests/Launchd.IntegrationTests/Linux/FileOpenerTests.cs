using Launchd.Addresses;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Listening;
using Launchd.Linux.Paths;
using Xunit;
using static Tmds.Linux.LibC;

namespace Launchd.IntegrationTests.Linux;

/// <summary>Beside no test that starts processes: a child has a copy of a FIFO's reader until it executes its program.</summary>
[Collection(nameof(Host.Supervisors))]
public sealed class FileOpenerTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void AMadeFileHasItsExactMode_AnExistingOneKeepsIts()
    {
        var request = new FileRequest { Path = _directory["a.log"], Access = OpenAccess.Append, CreateMode = 0b110_110_010 };
        for (int i = 0; i < 2; i++)
        {
            using FileDescriptor file = FileOpener.Open(request).Value;
            Assert.Equal(Errno.None, FileStatus.Read(file, out FileStatus status));
            Assert.Equal(0b110_110_010, status.Mode);
            Assert.Equal(["append", "write-only"], ListenerState.Read(file).Flags);
            Assert.Equal(FD_CLOEXEC, fcntl(file.Number, F_GETFD));
            request = request with { CreateMode = 0b110_000_000 };
        }
    }

    [Fact]
    public void TruncateEmpties_AndAMissingFileNamesTheRemedy()
    {
        File.WriteAllText(_directory["t"], "old");
        FileOpener.Open(new FileRequest { Path = _directory["t"], Access = OpenAccess.ReadWrite, Truncate = true }).Value.Dispose();
        Assert.Equal("", File.ReadAllText(_directory["t"]));
        Assert.Contains("create = ", FileOpener.Open(new FileRequest { Path = _directory["missing"] }).Failure?.ToString());
        Assert.Equal(Errno.EISDIR, FileOpener.Open(new FileRequest { Path = _directory.Path, Access = OpenAccess.Write }).Failure?.Errno);
        Assert.Equal(Errno.ENOTDIR, FileOpener.OpenDirectory(_directory["t"]).Failure?.Errno);
    }

    [Fact]
    public void ADanglingLinkIsNotFilled_AndAMissingDirectoryIsNamed()
    {
        File.CreateSymbolicLink(_directory["l"], _directory["nowhere"]);
        var request = new FileRequest { Path = _directory["l"], Access = OpenAccess.Append, CreateMode = 0b110_000_000 };
        Assert.Contains("leads nowhere", FileOpener.Open(request).Failure?.ToString());
        Assert.False(File.Exists(_directory["nowhere"]));
        Assert.Contains($"the directory {_directory["no"]} does not exist",
            FileOpener.Open(request with { Path = _directory["no/f"] }).Failure?.ToString());
    }

    [Fact]
    public void AFifoWithoutAPartnerDoesNotStopTheCaller()
    {
        ListenerRequest request = new() { Endpoints = [new ListenAddress.Fifo(_directory["p"])] };
        ListenerOpener.Open(request).Value.Listeners[0].Descriptor.Dispose();
        using FileDescriptor reading = FileOpener.Open(new FileRequest { Path = _directory["p"] }).Value;
        Assert.Equal(0, fcntl(reading.Number, F_GETFL) & O_NONBLOCK);
        reading.Dispose();
        Assert.Contains("no reader",
            FileOpener.Open(new FileRequest { Path = _directory["p"], Access = OpenAccess.Write }).Failure?.ToString());
    }

    [FactWhenRoot]
    public void AnOutputFileBelongsToItsOwner_WithMode0640()
    {
        FileOpener.OpenOutput(_directory["out"], new Credentials(4242, 4343, [])).Value.Dispose();
        Assert.Equal(Errno.None, FileStatus.ReadFollow(_directory["out"], out FileStatus status));
        Assert.Equal((4242u, 4343u, 0b110_100_000), (status.Uid, status.Gid, status.Mode));
    }

    [Fact]
    public void MemoryHasItsSizeAndExactlyItsSeals()
    {
        using FileDescriptor memory = FileOpener.OpenMemory("ring", 4096, MemorySeals.Shrink | MemorySeals.Grow).Value;
        Assert.Equal(F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW, fcntl(memory.Number, F_GET_SEALS) & 0xF);
        Assert.Equal(-1, ftruncate(memory.Number, 8192));
        Assert.Equal(Errno.EPERM, Errno.Last);
        Assert.Equal(-1, fcntl(memory.Number, F_ADD_SEALS, F_SEAL_WRITE));
        DescriptorState state = ListenerState.Read(memory);
        Assert.Equal(("memory", "/memfd:ring (deleted)"), (state.Kind, state.Address));
    }

    [Fact]
    public void ADirectoryIsAPlaceOnly()
    {
        using FileDescriptor place = FileOpener.OpenDirectory(_directory.Path).Value;
        DescriptorState state = ListenerState.Read(place);
        Assert.Equal(("directory", _directory.Path), (state.Kind, state.Address));
        Assert.Contains("path-only", state.Flags);
    }
}
