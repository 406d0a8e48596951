using System.Runtime.InteropServices;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// A service's user owns a directory that the configuration names, and puts links there: what root opens for the
/// service is no more than that user may open himself.
/// </summary>
public sealed partial class ForeignPathTests
{
    private const uint Nobody = 65534;
    private const string Secret = "KEPT=hunter2\n";

    [TheoryWhenRoot]
    [InlineData("input = \"file:own/link\"", "input cannot open")]
    [InlineData("output = \"file:own/link\"", "output cannot open")]
    [InlineData("error = \"file:own/link\"", "error cannot open")]
    [InlineData("output = \"file:own/way/made\"", "output cannot open")]
    [InlineData("environment_files = [\"own/link\"]", "environment file")]
    [InlineData("working_directory = \"own/way\"", "it is entered with the rights of \"nobody\"")]
    [InlineData("files = [\"again\"]", "file \"again\"")]
    public async Task TheStartIsRefused_AndNothingIsRead(string key, string told)
    {
        await using Supervisor supervisor = Start($"{key}\n\n[files.again]\npath = \"own/link\"\nreopen = true\n");

        string line = await supervisor.Errors.First(l => l.Contains("cannot start app", StringComparison.Ordinal), "the refusal");

        Assert.Contains(told, line, StringComparison.Ordinal);
        Assert.Contains(supervisor.Scratch.At("own/"), line, StringComparison.Ordinal);
        Assert.Equal(Secret, File.ReadAllText(supervisor.Scratch.At("secret")));
        Assert.Equal([supervisor.Scratch.At("closed/inner")], Directory.GetFileSystemEntries(supervisor.Scratch.At("closed")));
        Assert.Equal(0, await supervisor.Stop());
    }

    [TheoryWhenRoot]
    [InlineData("path = \"own/link\"")]
    [InlineData("path = \"own/link\"\nopen = \"append\"")]
    [InlineData("directory = \"own/deep\"")]
    public async Task AFileOfAllIsNotOpenedAtTheStart(string keys)
    {
        using Scratch scratch = new();
        Prepare(scratch);
        string file = scratch.Write("config.toml", $"""
            supervisor.runtime_directory = "run"
            [services.app]
            command = ["sleep", "2147483647"]
            user = "nobody"
            files = ["given"]
            [files.given]
            {keys}
            """);
        await using Command run = Command.Launchd(["run", file], scratch.FolderPath);
        Assert.Equal(77, await run.Exit());
        string line = Assert.Single(run.Errors.All());
        Assert.Contains("files.given: cannot open", line, StringComparison.Ordinal);
        Assert.Contains($"a link that user {Nobody} decides about, leads to", line, StringComparison.Ordinal);
    }

    [FactWhenRoot]
    public async Task TheLogStaysInItsDirectory()
    {
        await using Supervisor supervisor = Start("log = { path = \"own/way/app.log\", max_size = \"1KiB\" }\n", "echo ALL ALL=NOPASSWD");
        string line = await supervisor.Errors.First(l => l.Contains("app.log", StringComparison.Ordinal), "the notice");
        Assert.Contains("lines are dropped", line, StringComparison.Ordinal);
        Assert.Contains($"a link that user {Nobody} decides about", line, StringComparison.Ordinal);
        Assert.Equal([supervisor.Scratch.At("closed/inner")], Directory.GetFileSystemEntries(supervisor.Scratch.At("closed")));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task WhatIsTheUsersOwnIsUsedAsBefore()
    {
        await using Supervisor supervisor = Start("""
            input = "file:own/in"
            output = "file:to-own/out"
            error = "log"
            environment_files = ["settings", "own/settings"]
            working_directory = "own/alias"
            log = { path = "own/app.log", timestamps = false }

            """, "cat; echo $KEPT $OWN; pwd; echo told >&2", scratch =>
            {
                foreach ((string name, string text) in ((string, string)[])[("own/in", "read\n"), ("own/settings", "OWN=own\n")])
                    Assert.Equal(0, Chown(scratch.Write(name, text), Nobody, Nobody));
                File.Copy(scratch.At("secret"), scratch.At("settings"));
                File.CreateSymbolicLink(scratch.At("to-own"), "own");
                Directory.CreateDirectory(scratch.At("own/inner"));
                File.CreateSymbolicLink(scratch.At("own/alias"), "inner");
                Assert.Equal(0, ChownLink(scratch.At("own/alias"), Nobody, Nobody));
            });
        _ = await supervisor.Output.First(l => l.Contains("told", StringComparison.Ordinal), "its last word");
        _ = await supervisor.Event("exited", "app");
        // The pump writes the file and its output one after the other.
        await supervisor.Until(() => File.ReadAllText(supervisor.Scratch.At("own/app.log")).Length > 0);
        Assert.Equal("told\n", File.ReadAllText(supervisor.Scratch.At("own/app.log")));
        Assert.Equal($"read\nhunter2 own\n{supervisor.Scratch.At("own/inner")}\n", File.ReadAllText(supervisor.Scratch.At("own/out")));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRoot]
    public async Task CheckWarnsOfEachAtItsPlace()
    {
        using Scratch scratch = new();
        Prepare(scratch);
        string file = scratch.Write("launchd.toml", """
            [defaults]
            input = "file:own/in"
            [files.given]
            path = "own/link"
            [services.app]
            command = ["true"]
            user = "nobody"
            files = ["given"]
            environment_files = ["secret", "-own/settings"]
            output = "file:out"
            log = { path = "own/app.log", timestamps = false }
            error = "log"
            """);
        await using Command check = Command.Launchd(["check", file], scratch.FolderPath);
        Assert.Equal(0, await check.Exit());
        string text = string.Join('\n', check.Errors.All());
        string own = $"user {Nobody} may put anything at {scratch.At("own")}";
        string[] expected =
        [
            $":2:9: warning LD1406: services.app.input: {own}", $":9:32: warning LD1406: services.app.environment_files: {own}",
            $":11:7: warning LD1406: services.app.log: {own}", ":4:8: warning LD1406: files.given.path: ",
            $"a link that user {Nobody} decides about, leads to",
        ];
        Assert.All(expected, e => Assert.Contains(e, text, StringComparison.Ordinal));
        Assert.DoesNotContain("services.app.output", text, StringComparison.Ordinal);
    }

    private static Supervisor Start(string keys, string script = "exec sleep 2147483647", Action<Scratch>? prepare = null) =>
        Supervisor.StartText($"""
        [services.app]
        command = ["/bin/sh", "-c", "{script.Replace("$", "$$", StringComparison.Ordinal)}"]
        user = "nobody"
        restart = "never"
        {keys}
        """, scratch =>
        {
            Prepare(scratch);
            prepare?.Invoke(scratch);
        });

    private static void Prepare(Scratch scratch)
    {
        File.SetUnixFileMode(scratch.FolderPath, (UnixFileMode)0b111_101_101);
        File.SetUnixFileMode(scratch.Write("secret", Secret), (UnixFileMode)0b110_000_000);
        Directory.CreateDirectory(scratch.At("closed/inner"));
        File.SetUnixFileMode(scratch.At("closed"), (UnixFileMode)0b111_000_000);
        Assert.Equal(0, Chown(Directory.CreateDirectory(scratch.At("own")).FullName, Nobody, Nobody));
        foreach ((string name, string target) in ((string, string)[])
            [("own/link", "secret"), ("own/way", "closed"), ("own/deep", "closed/inner")])
        {
            File.CreateSymbolicLink(scratch.At(name), scratch.At(target));
            Assert.Equal(0, ChownLink(scratch.At(name), Nobody, Nobody));
        }
    }

    [LibraryImport("libc", EntryPoint = "chown", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Chown(string path, uint user, uint group);

    [LibraryImport("libc", EntryPoint = "lchown", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int ChownLink(string path, uint user, uint group);
}
