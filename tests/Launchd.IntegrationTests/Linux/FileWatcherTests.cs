using System.Globalization;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Launchd.Interop;
using Launchd.Linux.Paths;
using Xunit;

namespace Launchd.IntegrationTests.Linux;

/// <summary>What counts as a change, what does not, and that nothing is lost: new directories, renames, an overflowing queue.</summary>
public sealed class FileWatcherTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void AWrittenFileIsSeen_BelowDirectoriesThatCameLaterToo()
    {
        Directory.CreateDirectory(_directory["src/deep"]);
        using FileWatcher watcher = Open(_directory.Path);
        Assert.Equal(3, watcher.DirectoryCount);
        Assert.Null(watcher.Read());

        File.WriteAllText(_directory["src/deep/a.cs"], "1");
        Assert.Equal(_directory["src/deep/a.cs"], Next(watcher));

        Directory.CreateDirectory(_directory["src/new/deeper"]);
        _ = watcher.Read();
        Assert.Null(watcher.Read());
        File.WriteAllText(_directory["src/new/deeper/b.cs"], "1");
        Assert.Equal(_directory["src/new/deeper/b.cs"], Next(watcher));

        Directory.Move(_directory["src/new"], _directory["src/moved"]);
        Assert.NotNull(Next(watcher));
        File.Delete(_directory["src/moved/deeper/b.cs"]);
        Assert.Equal(_directory["src/moved/deeper/b.cs"], Next(watcher));
    }

    [Fact]
    public void AFileThatAnEditorReplacesIsSeen_ItsNeighboursAreNot()
    {
        string file = _directory["app.toml"];
        File.WriteAllText(file, "1");
        using FileWatcher watcher = Open(file);

        File.WriteAllText(_directory["other"], "1");
        Assert.Null(watcher.Read());
        File.WriteAllText(_directory["app.new"], "2");
        File.Move(_directory["app.new"], file, overwrite: true);
        Assert.Equal(file, Next(watcher));
        // The file is another one now, and is watched all the same.
        File.AppendAllText(file, "3");
        Assert.Equal(file, Next(watcher));
    }

    [Theory]
    [InlineData(".app.cs.swp")]
    [InlineData("app.cs~")]
    [InlineData(".#app.cs")]
    [InlineData("#app.cs#")]
    [InlineData("4913")]
    [InlineData("app.cs___jb_tmp___")]
    [InlineData(".git/index")]
    [InlineData("obj/app.dll")]
    [InlineData("bin/app.dll")]
    [InlineData("__pycache__/app.cpython-311.pyc")]
    public void WhatEditorsAndCompilersLeaveDoesNotCount(string name)
    {
        Directory.CreateDirectory(_directory["obj"]);
        using FileWatcher watcher = Open(_directory.Path);
        Directory.CreateDirectory(Path.GetDirectoryName(_directory[name])!);
        File.WriteAllText(_directory[name], "1");
        Assert.Null(watcher.Read());
    }

    [Fact]
    public void AnOverflowingQueueLosesNothing()
    {
        int most = int.Parse(File.ReadAllText("/proc/sys/fs/inotify/max_queued_events"), CultureInfo.InvariantCulture);
        using FileWatcher watcher = Open(_directory.Path);
        // Two names in turn, because equal events in a row are merged. None of them counts; only the overflow does.
        for (int i = 0; i <= most / 2; i++)
        {
            File.WriteAllText(_directory["a~"], "");
            File.WriteAllText(_directory["b~"], "");
        }
        Directory.CreateDirectory(_directory["lost"]);
        // A call reads a part of what came, so that somebody who makes files without end does not hold its caller.
        string? changed = null;
        for (int call = 0; changed is null && call < most; call++)
            changed = watcher.Read();
        Assert.Equal(_directory.Path, changed);
        // The event that told of it was lost; the directory is watched.
        File.WriteAllText(_directory["lost/found"], "1");
        Assert.Equal(_directory["lost/found"], Next(watcher));
    }

    [Fact]
    public void WhatDoesNotExistIsRefusedInWords()
    {
        Assert.Null(FileWatcher.Open([_directory["nowhere"]], out string? problem));
        Assert.Equal($"cannot watch {_directory["nowhere"]}: there is no such file or directory", problem);
    }

    private static FileWatcher Open(params string[] paths)
    {
        FileWatcher? watcher = FileWatcher.Open(paths, out string? problem);
        Assert.True(watcher is not null, problem);
        return watcher;
    }

    private static string? Next(FileWatcher watcher)
    {
        Assert.NotEqual(0, Polling.Await(watcher.Descriptor.Number, Libc.POLLIN, Deadline.Generous));
        return watcher.Read();
    }
}
