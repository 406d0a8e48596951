using System.Runtime.InteropServices;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
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
        await using Supervisor supervisor = Supervisor.StartText(Service, scratch => Assert.Equal(0, Chown(scratch.FolderPath, Daemon, Daemon)));
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
        Assert.Contains("open may be written by others, who could take its sockets away", Assert.Single(run.Errors.All()), StringComparison.Ordinal);
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
            await using Command run = Command.Start([.. drop, .. Repository.LaunchdCommand, "run", file], scratch.FolderPath);
            Assert.Equal(77, await run.Exit());
            Assert.Contains($"{squatted} belongs to user {Daemon}", Assert.Single(run.Errors.All()), StringComparison.Ordinal);
        }
        finally
        {
            Directory.Delete(squatted, recursive: true);
        }
    }

    [LibraryImport("libc", EntryPoint = "chown", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Chown(string path, uint user, uint group);
}
