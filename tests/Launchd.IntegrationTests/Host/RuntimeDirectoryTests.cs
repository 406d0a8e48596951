using System.Runtime.InteropServices;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Paths;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Whose directories a supervisor puts its sockets into, and whose it does not.</summary>
[Collection(nameof(Supervisors))]
public sealed partial class RuntimeDirectoryTests
{
    private const uint Daemon = 1, SomeUser = 61234;
    private const string Service = """
        [services.app]
        command = ["sleep", "2147483647"]
        """;

    // A database's folder belongs to its user, and its supervisor's file and sockets stand beside the data.
    [FactWhenRoot]
    public async Task OneThatTheFileNamesMayLieInAnotherUsersFolder()
    {
        await using Supervisor supervisor = Supervisor.StartText(
            Service, scratch => Assert.Equal(0, Chown(scratch.FolderPath, Daemon, Daemon)));
        _ = await supervisor.Event("ready", "app");
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task OneInWhichAnybodyMayWriteIsRefused()
    {
        using Scratch scratch = new();
        File.SetUnixFileMode(Directory.CreateDirectory(scratch.At("open")).FullName, (UnixFileMode)0b111_111_111);
        string file = scratch.Write("config.toml", "supervisor.runtime_directory = \"open/run\"\n" + Service);
        await using Command run = Command.Launchd(["run", file], scratch.FolderPath);
        Assert.Equal(77, await run.Exit());
        Assert.Contains(
            "open may be written by others, who could take its sockets away", Assert.Single(run.Errors.All()), StringComparison.Ordinal);
    }

    // Whoever wants to be asked in the supervisor's place has only to be there first: the name can be guessed.
    [FactWhenRoot]
    public async Task TheUsualOneInTmpIsRefusedWhenAnotherUserMadeItsParent()
    {
        using Scratch scratch = new();
        string file = scratch.Write("config.toml", Service);
        foreach (string path in (string[])[scratch.FolderPath, file])
            Assert.Equal(0, Chown(path, SomeUser, SomeUser));
        string squatted = Directory.CreateDirectory($"/tmp/launchd-cs-{SomeUser}").FullName;
        try
        {
            Assert.Equal(0, Chown(squatted, Daemon, Daemon));
            string[] drop = ["env", "-u", "XDG_RUNTIME_DIR", "setpriv", $"--reuid={SomeUser}", $"--regid={SomeUser}", "--clear-groups"];
            await using Command run = Command.Start([.. drop, .. Repository.LaunchdCommandForEverybody, "run", file], scratch.FolderPath);
            Assert.Equal(77, await run.Exit());
            Assert.Contains($"{squatted} belongs to user {Daemon}", Assert.Single(run.Errors.All()), StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(squatted, recursive: true);
        }
    }

    // The name is known before the supervisor begins, and in /dev/shm anybody can take it.
    [FactWhenRoot]
    public async Task ALinkInThePlaceOfTheNotifyDirectoryIsNeitherChangedNorFollowed()
    {
        using Scratch scratch = new();
        string file = scratch.Write("config.toml", "supervisor.runtime_directory = \"run\"\n" + Service);
        string run = Directory.CreateDirectory(scratch.At("run")).FullName,
            victim = Directory.CreateDirectory(scratch.At("victim")).FullName;
        const UnixFileMode mode = (UnixFileMode)0b1_111_000_000;
        File.SetUnixFileMode(victim, mode);
        string kept = scratch.Write("victim/kept", "kept");
        Assert.Equal(Errno.None, FileStatus.ReadFollow(run, out FileStatus status));
        string[] places =
            [$"/dev/shm/launchd-cs-notify-{status.Device}-{status.Inode}", $"/run/launchd-cs-notify-{status.Device}-{status.Inode}"];
        foreach (string place in places)
        {
            // Of a supervisor that was killed, and whose runtime directory had the number that ours has now.
            if (Directory.Exists(place))
                Directory.Delete(place, recursive: true);
            File.CreateSymbolicLink(place, victim);
        }
        File.CreateSymbolicLink(scratch.At("run/notify"), victim);
        try
        {
            await using Command supervisor = Command.Launchd(["run", file], scratch.FolderPath);
            _ = await supervisor.Errors.First(l => l.Contains("runs as pid", StringComparison.Ordinal), "the start");
            Assert.True(supervisor.Signal(Living.SIGTERM));
            Assert.Equal(0, await supervisor.Exit());
            Assert.Equal(mode, File.GetUnixFileMode(victim));
            Assert.Equal([kept], Directory.GetFileSystemEntries(victim));
            Assert.Empty(Directory.GetFileSystemEntries(run));
        }
        finally
        {
            foreach (string place in places)
                File.Delete(place);
        }
    }

    [FactWhenRoot]
    public async Task OneThatIsALink_OrBelongsToAnother_IsLeftAsItIs()
    {
        using Scratch scratch = new();
        string file = scratch.Write("config.toml", "supervisor.runtime_directory = \"run\"\n" + Service);
        string other = Directory.CreateDirectory(scratch.At("other")).FullName;
        Assert.Equal(0, Chown(other, SomeUser, SomeUser));
        const UnixFileMode mode = (UnixFileMode)0b111_000_000;
        File.SetUnixFileMode(other, mode);
        File.CreateSymbolicLink(scratch.At("run"), other);
        await using Command linked = Command.Launchd(["run", file], scratch.FolderPath);
        Assert.Equal(71, await linked.Exit());
        Assert.Contains("is a symbolic link: name the directory itself", Assert.Single(linked.Errors.All()), StringComparison.Ordinal);
        scratch.Write("config.toml", "supervisor.runtime_directory = \"other\"\n" + Service);
        await using Command foreign = Command.Launchd(["run", file], scratch.FolderPath);
        Assert.Equal(77, await foreign.Exit());
        Assert.Contains($"belongs to user {SomeUser}", Assert.Single(foreign.Errors.All()), StringComparison.Ordinal);
        Assert.Equal(mode, File.GetUnixFileMode(other));
    }

    [LibraryImport("libc", EntryPoint = "chown", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Chown(string path, uint user, uint group);
}
