using Launchd.Host.Listeners;
using Xunit;

namespace Launchd.Tests.Host;

public sealed class UnbornHoldersTests
{
    [Theory]
    [InlineData("pos:\t0\nflags:\t02100002\nmnt_id:\t30\nino:\t7\nlock:\t1: FLOCK  ADVISORY  WRITE 4711 fe:00:7 0 EOF\n", 4711)]
    [InlineData("pos:\t0\nlock:\t1: POSIX  ADVISORY  WRITE 1 fe:00:7 0 EOF\nlock:\t2: FLOCK  ADVISORY  WRITE 12 fe:00:7 0 EOF\n", 12)]
    [InlineData("pos:\t0\nlock:\t1: POSIX  ADVISORY  WRITE 1 fe:00:7 0 EOF\n", null)]
    [InlineData("lock:\t1: FLOCK  ADVISORY  WRITE 0 fe:00:7 0 EOF\n", null)]
    [InlineData("lock:\t1: FLOCK \n", null)]
    [InlineData("", null)]
    [InlineData(null, null)]
    public void TheTakerOfALockIsRead(string? information, int? taker) => Assert.Equal(taker, UnbornHolders.TakerIn(information));

    [Fact]
    public void ALockOfItsOwnIsNobodyElses()
    {
        string path = Path.GetTempFileName();
        using Launchd.Client.FileDescriptor held = Launchd.Linux.Paths.Files.OpenToRead(path, out _)!;

        Assert.False(UnbornHolders.End(held));
        File.Delete(path);
    }
}
