using System.Runtime.Versioning;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Paths;
using Launchd.Logs;
using Launchd.Model;
using Xunit;

namespace Launchd.IntegrationTests.Logs;

[SupportedOSPlatform("linux")]
public sealed class LogFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("launchd-logs-").FullName;
    private readonly List<PumpNotice> _notices = [];
    private readonly StepTime _time = new();

    private string FilePath => _folder + "/web.log";

    [Fact]
    public void RotationByThePump_LosesNoLine_AndKeepsTheOrder()
    {
        const int count = 30_000;
        using (var harness = new PumpHarness())
        {
            var policy = new LogPolicy { FilePath = FilePath, MaxSizeBytes = 20_000, KeepCount = 100, Timestamps = false };
            FileDescriptor web = harness.AddSource(1, file: policy);
            Thread writing = PumpHarness.Start(() =>
            {
                var block = new StringBuilder();
                for (int i = 0; i < count; i++)
                {
                    block.Append($"line {i} {new string('.', i % 70)}\n");
                    if (i % 97 != 0 && i != count - 1)
                        continue;
                    PumpHarness.Write(web, block.ToString());
                    block.Clear();
                }
                web.Dispose();
            });
            harness.RunUntil(() => harness.Ended.Count == 1);
            PumpHarness.Join(writing);
            Assert.Empty(harness.Notices);
        }

        string[] files = [.. Enumerable.Range(1, 100).Select(i => LogFile.RotatedPath(FilePath, i)).Where(File.Exists).Reverse(), FilePath];
        Assert.True(files.Length > 50);
        Assert.All(files, f => Assert.InRange(new FileInfo(f).Length, 1, 20_000));
        Assert.Equal(
            Enumerable.Range(0, count).Select(i => $"line {i} {new string('.', i % 70)}"), files.SelectMany(f => File.ReadLines(f)));
    }

    [Fact]
    public void OnlySoManyRotatedFilesAreKept_WithMode0640()
    {
        using (var file = new LogFile(Policy(maxSize: 10, keep: 2), _time, _notices.Add))
        {
            for (int i = 0; i < 6; i++)
                file.Append(Encoding.ASCII.GetBytes($"line {i}\n"));
        }

        Assert.Equal(["web.log", "web.log.1", "web.log.2"], Directory.GetFiles(_folder).Select(p => Path.GetFileName(p)).Order());
        Assert.Equal("line 5\n", File.ReadAllText(FilePath));
        Assert.Equal("line 4\n", File.ReadAllText(FilePath + ".1"));
        Assert.Equal("line 3\n", File.ReadAllText(FilePath + ".2"));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead, File.GetUnixFileMode(FilePath));
    }

    [Fact]
    public void KeepingNone_StartsAnew()
    {
        using (var file = new LogFile(Policy(maxSize: 10, keep: 0), _time, _notices.Add))
        {
            file.Append("old line\n"u8);
            file.Append("new line\n"u8);
        }
        Assert.Equal(["web.log"], Directory.GetFiles(_folder).Select(p => Path.GetFileName(p)));
        Assert.Equal("new line\n", File.ReadAllText(FilePath));
    }

    [Fact]
    public void AnExistingFile_IsAppendedTo_AndALineLargerThanTheLimitGoesInAlone()
    {
        File.WriteAllText(FilePath, "before\n");
        using (var file = new LogFile(Policy(maxSize: 20, keep: 3), _time, _notices.Add))
            file.Append(Encoding.ASCII.GetBytes("second\n" + new string('x', 50) + "\nlast\n"));

        Assert.Equal("before\nsecond\n", File.ReadAllText(FilePath + ".2"));
        Assert.Equal(new string('x', 50) + "\n", File.ReadAllText(FilePath + ".1"));
        Assert.Equal("last\n", File.ReadAllText(FilePath));
    }

    [Fact]
    public void Reopen_FollowsARename()
    {
        using (var file = new LogFile(Policy(), _time, _notices.Add))
        {
            file.Append("one\n"u8);
            File.Move(FilePath, FilePath + ".old");
            file.Append("two\n"u8);
            file.Reopen();
            file.Append("three\n"u8);
        }
        Assert.Equal("one\ntwo\n", File.ReadAllText(FilePath + ".old"));
        Assert.Equal("three\n", File.ReadAllText(FilePath));
    }

    [Fact]
    public void AFileInTheWay_DropsAndCounts_AndTheLossIsWrittenWhenItHasGone()
    {
        string path = _folder + "/later/web.log";
        File.WriteAllText(_folder + "/later", "");
        using (var file = new LogFile(new LogPolicy { FilePath = path }, _time, _notices.Add))
        {
            file.Append("one\ntwo\n"u8);
            file.Append("three\n"u8);
            File.Delete(_folder + "/later");
            file.Append("four, within the pause\n"u8);
            _time.Advance(TimeSpan.FromSeconds(1));
            file.Append("five\n"u8);
            Assert.Equal(4, file.LostLines);
        }
        Assert.Equal("launchd-cs: 4 lines lost\nfive\n", File.ReadAllText(path));
        Assert.Equal([new PumpNotice.LogFileFailed(path, Errno.ENOTDIR), new PumpNotice.LogFileRecovered(path, 4)], _notices);
    }

    [Fact]
    public void MissingFoldersAreMade()
    {
        using (var file = new LogFile(new LogPolicy { FilePath = _folder + "/a/b/web.log" }, _time, _notices.Add))
            file.Append("one\n"u8);

        Assert.Equal("one\n", File.ReadAllText(_folder + "/a/b/web.log"));
        Assert.Equal("rwxr-xr-x", ModeOf(_folder + "/a"));
        Assert.Empty(_notices);
    }

    [Fact]
    public void AFileThatOthersHaveShortened_HasTheSizeThatItHas()
    {
        using (var file = new LogFile(Policy(maxSize: 20, keep: 3), _time, _notices.Add))
        {
            file.Append("sixteen letters\n"u8);
            File.WriteAllText(FilePath, "");
            _time.Advance(TimeSpan.FromSeconds(1));
            file.Append("sixteen again..\n"u8);
        }

        Assert.Equal(["web.log"], Directory.GetFiles(_folder).Select(p => Path.GetFileName(p)));
        Assert.Equal("sixteen again..\n", File.ReadAllText(FilePath));
    }

    [Fact]
    public void AFileThatOthersWriteTo_HasTheSizeThatItHas()
    {
        using (var file = new LogFile(Policy(maxSize: 40, keep: 3), _time, _notices.Add))
        {
            file.Append("sixteen letters\n"u8);
            File.AppendAllText(FilePath, "another program's\n");
            _time.Advance(TimeSpan.FromSeconds(1));
            file.Append("sixteen again..\n"u8);
        }

        Assert.Equal("sixteen letters\nanother program's\n", File.ReadAllText(FilePath + ".1"));
        Assert.Equal("sixteen again..\n", File.ReadAllText(FilePath));
    }

    [Theory]
    [InlineData("removed", 1)]
    [InlineData("its folder is removed", 1)]
    [InlineData("another one is put there", 1)]
    [InlineData("renamed", 2)]
    public void APathThatLeadsElsewhere_IsOpenedAnew(string what, int seconds)
    {
        string folder = _folder + "/logs", path = folder + "/web.log";
        using var file = new LogFile(new LogPolicy { FilePath = path }, _time, _notices.Add);
        file.Append("one\n"u8);
        if (what == "removed")
            File.Delete(path);
        else if (what == "its folder is removed")
            Directory.Delete(folder, recursive: true);
        else
            File.Move(path, path + ".old");
        if (what == "another one is put there")
            File.WriteAllText(path, "theirs\n");

        for (int i = 0; i < seconds; i++)
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            file.Append("more\n"u8);
        }

        Assert.Equal(what == "another one is put there" ? "theirs\nmore\n" : "more\n", File.ReadAllText(path));
        Assert.Empty(_notices);
    }

    [Fact]
    public void ARotatedFileHandsDownItsMode()
    {
        using var file = new LogFile(Policy(maxSize: 10, keep: 1), _time, _notices.Add);
        file.Append("line 1\n"u8);
        File.SetUnixFileMode(FilePath, (UnixFileMode)0b110_110_100);
        file.Append("line 2\n"u8);

        Assert.Equal("rw-rw-r--", ModeOf(FilePath));
        Assert.Equal("line 2\n", File.ReadAllText(FilePath));
    }

    [FactWhenRootAndTool("chown")]
    public async Task ARotatedFileHandsDownItsOwner()
    {
        using var file = new LogFile(Policy(maxSize: 10, keep: 1), _time, _notices.Add);
        file.Append("line 1\n"u8);
        await using (Command chown = Command.Start(["chown", "65534:65533", FilePath]))
            Assert.Equal(0, await chown.Exit());
        file.Append("line 2\n"u8);

        Assert.Equal(Errno.None, FileStatus.ReadFollow(FilePath, out FileStatus status));
        Assert.Equal((65534u, 65533u), (status.Uid, status.Gid));
    }

    [Fact]
    public void AFileThatIsMadeHasTheModeThatItsPolicyNames_WhateverTheFormerOneHad()
    {
        File.WriteAllText(FilePath, "line 0\n");
        File.SetUnixFileMode(FilePath, (UnixFileMode)0b110_000_000);
        using var file = new LogFile(Policy(maxSize: 10, keep: 1) with { Mode = 0b110_110_110 }, _time, _notices.Add);

        file.Append(""u8);
        Assert.Equal("rw-------", ModeOf(FilePath));
        file.Append("line 1\n"u8);
        Assert.Equal("rw-rw-rw-", ModeOf(FilePath));
        file.Use(file.Policy with { Mode = 0b110_000_100 }, LogFileOwner.Own);
        file.Append("line 2\n"u8);
        Assert.Equal("rw----r--", ModeOf(FilePath));
        Assert.Empty(_notices);
    }

    [Fact]
    public void WhoCannotBeGivenAFile_IsNamedOnce_AndTheFileIsNotOpenedWider()
    {
        using var file = new LogFile(Policy(maxSize: 10, keep: 3), _time, _notices.Add);
        file.Use(file.Policy with { Group = "gone", Mode = 0b110_110_110 }, new LogFileOwner(PathOwner.Own, "there is no such group"));
        for (int i = 0; i < 3; i++)
            file.Append(Encoding.ASCII.GetBytes($"line {i}\n"));

        Assert.Equal(["rw-r-----", "rw-r-----"], new[] { FilePath, FilePath + ".2" }.Select(ModeOf));
        Assert.Equal([new PumpNotice.OwnerRefused(FilePath, "there is no such group")], _notices);

        // With what has been reconfigured it is another refusal; with each further instance it is not.
        for (int i = 0; i < 2; i++)
        {
            file.Use(file.Policy with { Group = "lost" }, new LogFileOwner(PathOwner.Own, "nor such a one"));
            file.Append("line 3\n"u8);
        }
        Assert.Equal(new PumpNotice.OwnerRefused(FilePath, "nor such a one"), Assert.Single(_notices.Skip(1)));
    }

    [FactWhenRootAndTool("chown")]
    public async Task AFileThatIsMadeHasTheOwnerThatItsPolicyNames_AlsoWhereAnotherDecides()
    {
        await using (Command chown = Command.Start(["chown", "65532", _folder]))
            Assert.Equal(0, await chown.Exit());
        using var file = new LogFile(Policy(maxSize: 10, keep: 3), _time, _notices.Add);
        file.Use(file.Policy with { User = "app" }, new LogFileOwner(new PathOwner(65534, 65533), null));
        for (int i = 0; i < 2; i++)
        {
            file.Append("line 1\n"u8);
            Assert.Equal(Errno.None, FileStatus.ReadFollow(FilePath, out FileStatus status));
            Assert.Equal((65534u, 65533u, 0b110_100_000), (status.Uid, status.Gid, status.Mode & 0b111_111_111));
        }
        file.Reopen();
        file.Append(""u8);
        file.Append("line 2\n"u8);

        Assert.Equal("line 2\n", File.ReadAllText(FilePath));
        Assert.Equal(0, file.LostLines);
        Assert.Empty(_notices);
    }

    private static string ModeOf(string path) => string.Concat(Enumerable.Range(0, 9)
        .Select(i => ((int)File.GetUnixFileMode(path) >> (8 - i) & 1) == 0 ? '-' : "rwx"[i % 3]));

    [Fact]
    public void AFullDevice_IsNeverRenamed_AndOneNoticeIsEnough()
    {
        using var file = new LogFile(new LogPolicy { FilePath = "/dev/full", MaxSizeBytes = 1 }, _time, _notices.Add);
        for (int i = 0; i < 10; i++)
        {
            file.Append("line\n"u8);
            _time.Advance(TimeSpan.FromMinutes(1));
        }
        Assert.Equal(10, file.LostLines);
        Assert.Equal([new PumpNotice.LogFileFailed("/dev/full", Errno.ENOSPC)], _notices);
        Assert.True(File.Exists("/dev/full"));
    }

    [Fact]
    public void ThePause_GrowsToFiveSeconds()
    {
        File.WriteAllText(_folder + "/no", "");
        using var file = new LogFile(new LogPolicy { FilePath = _folder + "/no/web.log" }, _time, _notices.Add);
        for (int i = 0; i < 12; i++)
        {
            file.Append("line\n"u8);
            _time.Advance(TimeSpan.FromMinutes(1));
        }
        file.Append("line\n"u8);
        File.Delete(_folder + "/no");
        _time.Advance(TimeSpan.FromSeconds(4));
        file.Append("too early\n"u8);
        Assert.False(Directory.Exists(_folder + "/no"));
        _time.Advance(TimeSpan.FromSeconds(1.1));
        file.Append("again\n"u8);
        Assert.Equal("launchd-cs: 14 lines lost\nagain\n", File.ReadAllText(_folder + "/no/web.log"));
    }

    [Fact]
    public void ASymbolicLink_IsNotFollowed()
    {
        File.WriteAllText(_folder + "/victim", "precious\n");
        File.CreateSymbolicLink(FilePath, _folder + "/victim");
        using var file = new LogFile(Policy(), _time, _notices.Add);
        file.Append("line\n"u8);

        Assert.Equal("precious\n", File.ReadAllText(_folder + "/victim"));
        Assert.Equal([new PumpNotice.LogFileFailed(FilePath, Errno.ELOOP)], _notices);
    }

    [Fact]
    public void WhenTheChainCannotBeRenamed_TheFileGrowsOn()
    {
        Directory.CreateDirectory(FilePath + ".1/occupied");
        using (var file = new LogFile(Policy(maxSize: 10, keep: 1), _time, _notices.Add))
        {
            for (int i = 0; i < 4; i++)
                file.Append(Encoding.ASCII.GetBytes($"line {i}\n"));
            Assert.Equal(0, file.LostLines);
        }
        Assert.Equal("line 0\nline 1\nline 2\nline 3\n", File.ReadAllText(FilePath));
        Assert.Contains(_notices, n => n is PumpNotice.RotationFailed);
    }

    [Fact]
    public void Timestamps_AreIso8601InUtc()
    {
        using (var harness = new PumpHarness())
        {
            using FileDescriptor web = harness.AddSource(1, file: new LogPolicy { FilePath = FilePath });
            PumpHarness.Write(web, "raw \x1b[1m kept\n");
            harness.Flush(1);
        }
        Assert.Matches(
            "^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{6}Z raw \x1b\\[1m kept\n$", File.ReadAllText(FilePath));
    }

    [Fact]
    public void StreamsAndSlotsWithOnePath_ShareTheFile()
    {
        using (var harness = new PumpHarness())
        {
            var policy = new LogPolicy { FilePath = FilePath, Timestamps = false, MaxSizeBytes = 12, KeepCount = 9 };
            FileDescriptor one = harness.AddSource(1, slot: 0, file: policy);
            FileDescriptor two = harness.AddSource(2, slot: 1, file: policy);
            PumpHarness.Write(one, "first\n");
            harness.Flush(1);
            PumpHarness.Write(two, "second\n");
            harness.Flush(2);
            one.Dispose();
            harness.RunUntil(() => harness.Ended.Count == 1);
            PumpHarness.Write(two, "third\n");
            harness.Flush(2);
            two.Dispose();
        }
        Assert.Equal("first\n", File.ReadAllText(FilePath + ".2"));
        Assert.Equal("second\n", File.ReadAllText(FilePath + ".1"));
        Assert.Equal("third\n", File.ReadAllText(FilePath));
    }

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    private LogPolicy Policy(long maxSize = 10 << 20, int keep = 5) =>
        new() { FilePath = FilePath, MaxSizeBytes = maxSize, KeepCount = keep };

    private sealed class StepTime : TimeProvider
    {
        private long _now = 1;

        public override long TimestampFrequency => TimeSpan.TicksPerSecond;

        public override long GetTimestamp() => _now;

        public void Advance(TimeSpan step) => _now += step.Ticks;
    }
}
