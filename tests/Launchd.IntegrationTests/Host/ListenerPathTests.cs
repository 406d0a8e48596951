using System.Net.Sockets;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using Xunit;
using static Tmds.Linux.LibC;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// Paths of listeners that somebody removes, renames, takes or changes: what clients use comes back, with the same open socket behind it.
/// </summary>
public sealed class ListenerPathTests
{
    private static readonly UnixFileMode Narrow = UnixFileMode.UserRead | UnixFileMode.UserWrite;

    [TheoryWhenTool("python3")]
    [InlineData("unix")]
    [InlineData("unix-dgram")]
    [InlineData("unix-seqpacket")]
    [InlineData("fifo")]
    public async Task APathThatWasRemovedLeadsToTheSameInode(string kind)
    {
        await using Supervisor supervisor = await Start(kind);
        FileStatus before = Status(supervisor.Scratch.At("web.sock"));

        File.Delete(supervisor.Scratch.At("web.sock"));

        Happening healed = await supervisor.Event("listener-healed");
        Assert.Equal(("web", "its path was removed", "linked back"), (healed.Text("socket"), healed.Text("fault"), healed.Text("remedy")));
        Assert.Equal(["web.0"], healed.Texts("holders"));
        FileStatus after = Status(supervisor.Scratch.At("web.sock"));
        Assert.Equal((before.Inode, before.Mode, before.Uid), (after.Inode, after.Mode, after.Uid));
        Assert.Equal(1, supervisor.Events.All().Count(e => e.Kind == "spawned"));
        await EndsWithNothingLeft(supervisor);
    }

    [FactWhenTool("python3")]
    public async Task APathThatWasRenamedIsThereAgain()
    {
        await using Supervisor supervisor = await Start("unix");

        File.Move(supervisor.Scratch.At("web.sock"), supervisor.Scratch.At("elsewhere"));

        _ = await supervisor.Event("listener-healed");
        Assert.Equal("served", await Supervisor.Ask(supervisor.Scratch.At("web.sock"), ""));
        File.Delete(supervisor.Scratch.At("elsewhere"));
        await EndsWithNothingLeft(supervisor);
    }

    [FactWhenTool("python3")]
    public async Task ARemovedPathComesBackEachTime()
    {
        await using Supervisor supervisor = await Start("unix");
        string path = supervisor.Scratch.At("web.sock");
        for (int i = 0; i < 200; i++)
        {
            File.Delete(path);
            await supervisor.Until(() => File.Exists(path));
        }

        Assert.Equal("served", await Supervisor.Ask(path, ""));
        // The list of events is not filled by it.
        Assert.InRange(supervisor.Events.All().Count(e => e.Kind == "listener-healed"), 1, 100);
        await EndsWithNothingLeft(supervisor);
    }

    [FactWhenTool("python3")]
    public async Task AModeThatAProgramGaveIsPutBack()
    {
        await using Supervisor supervisor = await Start("unix");

        File.SetUnixFileMode(supervisor.Scratch.At("web.sock"), Narrow | UnixFileMode.OtherWrite | UnixFileMode.OtherRead);

        Happening healed = await supervisor.Event("listener-healed");
        Assert.Equal(("its mode was changed from 0600 to 0606", "put back"), (healed.Text("fault"), healed.Text("remedy")));
        Assert.Equal(Narrow, File.GetUnixFileMode(supervisor.Scratch.At("web.sock")));
        await EndsWithNothingLeft(supervisor);
    }

    [FactWhenRootAndTool("python3")]
    public async Task AnOwnerThatAProgramGaveIsPutBack()
    {
        await using Supervisor supervisor = await Start("unix");

        Assert.Equal(0, Chown(supervisor.Scratch.At("web.sock"), 65534, 65534));

        Happening healed = await supervisor.Event("listener-healed");
        Assert.Equal("its owner was changed from user 0 to user 65534", healed.Text("fault"));
        Assert.Equal(0u, Status(supervisor.Scratch.At("web.sock")).Uid);
        Assert.Equal(Narrow, File.GetUnixFileMode(supervisor.Scratch.At("web.sock")));
        await EndsWithNothingLeft(supervisor);
    }

    /// <summary>What is made in such a directory has the directory's group, and nobody has changed that.</summary>
    [FactWhenRootAndTool("python3")]
    public async Task AGroupThatTheDirectoryGivesIsNoFault()
    {
        await using Supervisor supervisor = Supervisor.StartText(Text("unix", "shared/web.sock"), scratch =>
        {
            Directory.CreateDirectory(scratch.At("shared"));
            Assert.Equal(0, Chown(scratch.At("shared"), 0, 65534));
            File.SetUnixFileMode(scratch.At("shared"), Narrow | UnixFileMode.UserExecute | UnixFileMode.SetGroup);
        });
        _ = await supervisor.Event("ready", "web");
        Assert.Equal(65534u, Status(supervisor.Scratch.At("shared/web.sock")).Gid);

        File.Delete(supervisor.Scratch.At("shared/web.sock"));

        Assert.Equal("its path was removed", (await supervisor.Event("listener-healed")).Text("fault"));
        Assert.Equal(65534u, Status(supervisor.Scratch.At("shared/web.sock")).Gid);
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task WhatSomebodyElsePutThereStays_UntilHeTakesItAway()
    {
        await using Supervisor supervisor = await Start("unix");
        string path = supervisor.Scratch.At("web.sock");
        using ControlSocket control = await ControlSocket.To(supervisor);
        using (Socket stranger = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            stranger.Bind(new UnixDomainSocketEndPoint(supervisor.Scratch.At("strange")));
            stranger.Listen();
            File.Move(supervisor.Scratch.At("strange"), path, overwrite: true);

            Happening taken = await supervisor.Event("listener-path-taken");
            Assert.Contains($"pid {Environment.ProcessId}", taken.Text("by"), StringComparison.Ordinal);
            Assert.Contains(path, await control.Trouble("web"), StringComparison.Ordinal);
            using Socket client = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            await client.ConnectAsync(new UnixDomainSocketEndPoint(path));
            File.Delete(path);
        }

        Assert.Equal("linked back", (await supervisor.Event("listener-healed")).Text("remedy"));
        Assert.Equal("served", await Supervisor.Ask(path, ""));
        Assert.Equal("", await control.Trouble("web"));
        await EndsWithNothingLeft(supervisor);
    }

    [FactWhenTool("python3")]
    public async Task AFileThatLiesThereIsNotRemoved()
    {
        await using Supervisor supervisor = await Start("unix", "place");
        File.WriteAllText(supervisor.Scratch.At("precious"), "kept");

        File.Move(supervisor.Scratch.At("precious"), supervisor.Scratch.At("place"), overwrite: true);

        Assert.EndsWith("a regular file lies there", (await supervisor.Event("listener-path-taken")).Text("by"), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
        Assert.Equal("kept", File.ReadAllText(supervisor.Scratch.At("place")));
    }

    [FactWhenTool("python3")]
    public async Task ADeadSocketThatAProgramLeftThereIsReplaced()
    {
        await using Supervisor supervisor = await Start("unix");
        // Bound and never listened to; .NET removes its path when it is disposed, so it is moved first.
        Socket dead = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        dead.Bind(new UnixDomainSocketEndPoint(supervisor.Scratch.At("dead")));
        File.Move(supervisor.Scratch.At("dead"), supervisor.Scratch.At("dying"));
        dead.Dispose();

        File.Move(supervisor.Scratch.At("dying"), supervisor.Scratch.At("web.sock"), overwrite: true);

        Assert.Equal("its path was taken by a socket to which nobody listens", (await supervisor.Event("listener-healed")).Text("fault"));
        Assert.Equal("served", await Supervisor.Ask(supervisor.Scratch.At("web.sock"), ""));
        await EndsWithNothingLeft(supervisor);
    }

    [FactWhenTool("python3")]
    public async Task ADirectoryThatWasRemovedIsMadeAgain_AndWatchedAgain()
    {
        await using Supervisor supervisor = await Start("unix", "deep/er/web.sock");
        string path = supervisor.Scratch.At("deep/er/web.sock");
        for (int nth = 1; nth <= 2; nth++)
        {
            // Moved and not removed: a tool that removes file after file would find that one comes back.
            Directory.Move(supervisor.Scratch.At("deep/er"), supervisor.Scratch.At("gone" + nth));
            await supervisor.Until(() => File.Exists(path));
            Assert.Equal("served", await Supervisor.Ask(path, ""));
            Directory.Delete(supervisor.Scratch.At("gone" + nth), recursive: true);
        }
        Assert.Equal(1, supervisor.Events.All().Count(e => e.Kind == "spawned"));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task ALinkToThePathThatWasRemovedIsMadeAgain_TimeAndAgain()
    {
        await using Supervisor supervisor = await Start("unix", more: "symlinks = [\"link.sock\"]");
        string link = supervisor.Scratch.At("link.sock");
        for (int nth = 1; nth <= 3; nth++)
        {
            File.Delete(link);
            await supervisor.Until(() => File.Exists(link));
            Assert.Equal("served", await Supervisor.Ask(link, ""));
        }
        await EndsWithNothingLeft(supervisor);
    }

    [FactWhenTool("python3")]
    public async Task WhereNoLinkIsLeftTheListenerIsMadeAnew_AndItsServiceStartedAnew()
    {
        await using Supervisor supervisor = await Start("unix");
        File.Delete(SpareLinks(supervisor)[0]);

        File.Delete(supervisor.Scratch.At("web.sock"));

        Assert.Equal("made anew", (await supervisor.Event("listener-healed")).Text("remedy"));
        _ = await supervisor.Event("ready", "web", nth: 2);
        Assert.Equal("served", await Supervisor.Ask(supervisor.Scratch.At("web.sock"), ""));
        await EndsWithNothingLeft(supervisor);
    }

    [FactWhenTool("python3")]
    public async Task AFifoOfWhichNoLinkIsLeftIsMadeAnewAsWell()
    {
        await using Supervisor supervisor = await Start("fifo");
        File.Delete(SpareLinks(supervisor)[0]);

        File.Delete(supervisor.Scratch.At("web.sock"));

        Assert.Equal("made anew", (await supervisor.Event("listener-healed")).Text("remedy"));
        Assert.Equal(FileKind.Fifo, Status(supervisor.Scratch.At("web.sock")).Kind);
        _ = await supervisor.Event("ready", "web", nth: 2);
        await EndsWithNothingLeft(supervisor);
    }

    [FactWhenTool("python3")]
    public async Task ASleepingServiceKeepsItsPath()
    {
        await using Supervisor supervisor = await Start("unix", service: "start = \"demand\"", isUp: false);

        File.Delete(supervisor.Scratch.At("web.sock"));

        _ = await supervisor.Event("listener-healed");
        Assert.Equal("served", await Supervisor.Ask(supervisor.Scratch.At("web.sock"), ""));
        await EndsWithNothingLeft(supervisor);
    }

    [FactWhenTool("python3")]
    public async Task WhatAReloadTookOutIsNotPutBack()
    {
        await using Supervisor supervisor = await Start("unix");
        supervisor.Scratch.Write("config.toml", Supervisor.WithRuntimeDirectory("[services.other]\ncommand = [\"sleep\", \"2147483647\"]"));

        Assert.Equal(0, (await supervisor.Verb("reload")).Code);

        await supervisor.Until(() => !File.Exists(supervisor.Scratch.At("web.sock")) && SpareLinks(supervisor).Length == 0);
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "listener-healed");
        Assert.Equal(0, await supervisor.Stop());
    }

    private static async Task<Supervisor> Start(
        string kind, string path = "web.sock", string more = "", string service = "", bool isUp = true)
    {
        Supervisor supervisor = Supervisor.StartText(Text(kind, path, more, service));
        if (isUp)
            _ = await supervisor.Event("ready", "web");
        else
            _ = await supervisor.Event("supervisor-started");
        // It is made, and the directory watched, beside the loop. Without it there is nothing to link back from.
        await supervisor.Until(() => SpareLinks(supervisor).Length == 1);
        return supervisor;
    }

    private static string Text(string kind, string path, string more = "", string service = "") => $$"""
        [sockets.web]
        listen = "{{kind}}:{{path}}"
        mode = "0600"
        {{more}}

        [services.web]
        command = ["python3", "-u", "-c", '''
        import os, socket, time
        s = socket.socket(fileno=3) if os.readlink("/proc/self/fd/3").startswith("socket") else None
        print("begun")
        while True:
            if s is None or s.type != socket.SOCK_STREAM: time.sleep(1000)
            c, _ = s.accept()
            while c.recv(64): pass
            c.sendall(b"served"); c.close()
        ''']
        sockets = ["web"]
        {{service}}
        ready = { output = "begun" }
        """;

    private static async Task EndsWithNothingLeft(Supervisor supervisor)
    {
        Assert.Equal(0, await supervisor.Stop());
        Assert.False(File.Exists(supervisor.Scratch.At("web.sock")));
        Assert.DoesNotContain(Directory.GetFileSystemEntries(supervisor.Scratch.FolderPath), f => Path.GetFileName(f).StartsWith('.'));
        Assert.Empty(Directory.Exists(supervisor.Scratch.At("run")) ? Directory.GetFileSystemEntries(supervisor.Scratch.At("run")) : []);
    }

    private static string[] SpareLinks(Supervisor supervisor) =>
        Directory.Exists(supervisor.Scratch.At("run/links")) ? Directory.GetFiles(supervisor.Scratch.At("run/links")) : [];

    private static FileStatus Status(string path)
    {
        Assert.Equal(0, FileStatus.ReadNoFollow(AT_FDCWD, path, out FileStatus status).Value);
        return status;
    }

    private static unsafe int Chown(string path, uint uid, uint gid)
    {
        fixed (byte* text = CString.From(path))
            return chown(text, uid, gid);
    }
}
