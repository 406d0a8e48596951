using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Linux.Spawning;
using Launchd.SpawnSoak;
using Xunit;

namespace Launchd.IntegrationTests.Spawning;

/// <summary>By a clone, as nearly everywhere.</summary>
[Collection(nameof(Children))]
public sealed class CloneSpawnerTests() : SpawnerTests(isByHelper: false)
{
    [Fact]
    public void ItIsWhatIsTakenWhereItWorks()
    {
        using Spawner spawner = new(OpenNull());

        Assert.Equal(SpawnCarrier.Clone, spawner.Carrier);
    }
}

/// <summary>By a helper, where a clone does not work.</summary>
[Collection(nameof(Children))]
public sealed class HelperSpawnerTests() : SpawnerTests(isByHelper: true);

/// <summary>Real births of real children: descriptors, environment, errors, and collections going on beside.</summary>
public abstract unsafe class SpawnerTests : IDisposable
{
    private readonly Spawner _spawner;
    private readonly HashSet<string> _descriptorsBefore;

    protected SpawnerTests(bool isByHelper)
    {
        _spawner = new Spawner(OpenNull(), isByHelper ? SpawnCarrier.Exec : SpawnCarrier.Clone);
        _descriptorsBefore = Descriptors();
    }

    /// <summary>Nothing of any birth is left: no descriptor, no child.</summary>
    public void Dispose()
    {
        try
        {
            // By number: what another class of tests lets go of meanwhile must not make up for one that is left here.
            Assert.Empty(Descriptors().Except(_descriptorsBefore));
        }
        finally
        {
            _spawner.Dispose();
            GC.SuppressFinalize(this);
        }
    }

    [TheoryWhenRoot]
    [InlineData((int)SpawnStage.Descriptors, 9)]
    [InlineData((int)SpawnStage.Limits, 22)]
    [InlineData((int)SpawnStage.OomScore, 22)]
    [InlineData((int)SpawnStage.WorkingDirectory, 40)]
    [InlineData((int)SpawnStage.Capabilities, 22)]
    [InlineData((int)SpawnStage.Groups, 22)]
    [InlineData((int)SpawnStage.Verify, 1)]
    [InlineData((int)SpawnStage.ParentDeath, 22)]
    [InlineData((int)SpawnStage.Exec, 7)]
    public void EveryStageThatAFalseRequestCanMeet(int stage, int errno)
    {
        using FileDescriptor nothing = OpenNull();
        using TemporaryDirectory place = new();
        _ = File.CreateSymbolicLink(place["circle"], place["circle"]);
        SpawnRequest plain = Shell("true") with { Descriptors = [new(nothing.Number, 0)] };
        Credentials nobody = new(65534, 65534, []);
        SpawnRequest request = (SpawnStage)stage switch
        {
            SpawnStage.Descriptors => plain with { Descriptors = [new(9999, 0)] },
            SpawnStage.Limits => plain with { Limits = [(99, 1, 1)] },
            SpawnStage.OomScore => plain with { OomScoreAdjust = 5000 },
            SpawnStage.WorkingDirectory => plain with { WorkingDirectory = place["circle"] },
            SpawnStage.Capabilities => plain with { Credentials = nobody, BoundingSet = 0, AmbientSet = 1UL << 62 },
            SpawnStage.Groups => plain with { Credentials = new Credentials(65534, 65534, [.. Enumerable.Repeat(1u, 70_000)]) },
            // setresuid(2): -1 leaves the id as it is, which is not what was asked for.
            SpawnStage.Verify => plain with { Credentials = new Credentials(uint.MaxValue, 65534, []) },
            SpawnStage.ParentDeath => plain with { ParentDeathSignal = 99 },
            _ => plain with { Arguments = ["sh", "-c", new string('x', 200_000)] },
        };

        SpawnFailure? failure = _spawner.Start(request, out ProcessHandle? child);

        Assert.Null(child);
        Assert.Equal((SpawnStage)stage, failure?.Stage);
        Assert.Equal(errno, failure?.Errno.Value);
    }

    [FactWhenMountsAndTool("sh")]
    public void PinnedPathsAreMountPointsOfTheChild_AndTakeNoDescriptorThatItsLimitLeaves()
    {
        using Pipe pipe = new();
        using FileDescriptor nothing = OpenNull();
        using TemporaryDirectory place = new();
        SpawnRequest request = Shell($"""
            while read -r a b c d at rest; do case $at in {place.Path}/*) echo "$at";; esac; done < /proc/self/mountinfo
            """) with
        {
            Descriptors = [new(nothing.Number, 0), new(pipe.WriteEnd.Number, 1), new(nothing.Number, 2), new(nothing.Number, 3)],
            PinnedPaths = [Pinned(place["a"]), Pinned(place["b"])],
        };
        DescriptorMapping[] full = [.. Enumerable.Range(0, 4).Select(i => new DescriptorMapping(nothing.Number, i))];

        // The program itself may have no use for so low a limit, but it is begun.
        SpawnFailure? failure = _spawner.Start(request with { Descriptors = full, Limits = [(7, 4, 4)] }, out ProcessHandle? child);

        Assert.Null(failure);
        using (child)
            _ = Children.Wait(child!);
        Assert.Equal([place["a"], place["b"]], Run(request, pipe));
    }

    [TheoryWhenMountsAndTool("sh")]
    [InlineData("a link in the place of the file")]
    [InlineData("a link in the place of its directory")]
    [InlineData("another file")]
    public void NothingIsMountedWhereAnotherFileLiesThanTheOneThatIsPinned(string exchange)
    {
        using FileDescriptor nothing = OpenNull();
        using TemporaryDirectory place = new();
        _ = Directory.CreateDirectory(place["theirs"]);
        _ = Directory.CreateDirectory(place["roots"]);
        PinnedPath pinned = Pinned(place["theirs/file"]);
        File.WriteAllText(place["roots/file"], "");
        // The file lives on, so that its inode is not used again.
        Directory.Move(place["theirs"], place["aside"]);
        if (exchange == "a link in the place of its directory")
            _ = Directory.CreateSymbolicLink(place["theirs"], place["roots"]);
        else
            _ = Directory.CreateDirectory(place["theirs"]);
        if (exchange == "a link in the place of the file")
            _ = File.CreateSymbolicLink(place["theirs/file"], place["roots/file"]);
        else
            File.WriteAllText(place["theirs/file"], "");

        SpawnFailure? failure = _spawner.Start(
            Shell("true") with { Descriptors = [new(nothing.Number, 0)], PinnedPaths = [pinned] }, out ProcessHandle? child);

        Assert.Null(child);
        Assert.Equal(new SpawnFailure(SpawnStage.PinnedPaths, Errno.ESTALE), failure);
    }

    private static PinnedPath Pinned(string path)
    {
        File.WriteAllText(path, "");
        Assert.Equal(Errno.None, FileStatus.ReadNoFollow(path, out FileStatus status));
        return new PinnedPath(path, status.Device, status.Inode);
    }

    [Fact]
    public void AChildHasExactlyItsDescriptors_AndItsOwnPidInTheEnvironment()
    {
        using Pipe pipe = new();
        using FileDescriptor nothing = OpenNull();
        SpawnRequest request = Shell("[ $LISTEN_PID = $$ ] && echo same; echo \"$LISTEN_FDS\"; exec ls /proc/self/fd") with
        {
            Descriptors =
            [
                new(nothing.Number, 0), new(pipe.WriteEnd.Number, 1), new(nothing.Number, 2), new(nothing.Number, 3),
                new(nothing.Number, 4),
            ],
            PidVariables = ["LISTEN_PID"],
            Environment = ["PATH=/usr/bin:/bin", "LISTEN_FDS=2"],
        };

        string[] lines = Run(request, pipe);

        // The last one is ls's own, on the directory that it reads.
        Assert.Equal(["same", "2", "0", "1", "2", "3", "4", "5"], lines);
    }

    [Fact]
    public void DescriptorsWithAGapTakeTheOtherWay_AndAreExactAsWell()
    {
        using Pipe pipe = new();
        using FileDescriptor nothing = OpenNull();
        SpawnRequest request = Shell("exec ls /proc/self/fd") with
        {
            Descriptors = [new(nothing.Number, 0), new(pipe.WriteEnd.Number, 1), new(nothing.Number, 2), new(nothing.Number, 9)],
        };

        // Number 3 is ls's own, on the directory that it reads.
        Assert.Equal(["0", "1", "2", "3", "9"], Run(request, pipe));
    }

    [Fact]
    public void SignalsAreAtTheirDefaults_ButSigpipeIsIgnored()
    {
        using Pipe pipe = new();
        string[] lines = Run(Shell("cat /proc/self/status | grep -E 'SigBlk|SigIgn|SigCgt'") with { Descriptors = WithOutput(pipe) }, pipe);

        Assert.Equal(["SigBlk:\t0000000000000000", "SigIgn:\t0000000000001000", "SigCgt:\t0000000000000000"], lines);
    }

    [Theory]
    [InlineData("/no/such/program", "/", (int)SpawnStage.Exec, 2)]
    [InlineData("/etc/passwd", "/", (int)SpawnStage.Exec, 13)]
    [InlineData("/bin/sh", "/no/such/directory", (int)SpawnStage.WorkingDirectory, 2)]
    public void AFailureNamesItsStageAndError(string program, string directory, int stage, int errno)
    {
        using Pipe pipe = new();
        SpawnRequest request = Shell("true") with { Candidates = [program], WorkingDirectory = directory, Descriptors = WithOutput(pipe) };

        SpawnFailure? failure = _spawner.Start(request, out ProcessHandle? child);

        Assert.Null(child);
        Assert.Equal(new SpawnFailure((SpawnStage)stage, new Errno(errno)), failure);
    }

    [Fact]
    public void LimitsUmaskAndNicenessAreSet()
    {
        using Pipe pipe = new();
        SpawnRequest request = Shell("ulimit -n; umask; nice; cat /proc/self/oom_score_adj; pwd; grep NoNewPrivs /proc/self/status") with
        {
            Descriptors = WithOutput(pipe), Umask = 0b000_111_111, Nice = 5, OomScoreAdjust = 100, NoNewPrivileges = true,
            Limits = [(7, 123, 456)], WorkingDirectory = "/usr",
        };

        Assert.Equal(["123", "0077", "5", "100", "/usr", "NoNewPrivs:\t1"], Run(request, pipe));
    }

    [FactWhenRoot]
    public void CredentialsAreDropped_GroupsFirst()
    {
        using Pipe pipe = new();
        SpawnRequest request = Shell("id -u; id -g; id -G; grep CapEff /proc/self/status") with
        {
            Descriptors = WithOutput(pipe), Credentials = new Credentials(65534, 65533, [65533, 7]),
        };

        Assert.Equal(["65534", "65533", "65533 7", "CapEff:\t0000000000000000"], Run(request, pipe));
    }

    [FactWhenRoot]
    public void AmbientCapabilitiesSurviveTheDrop()
    {
        using Pipe pipe = new();
        SpawnRequest request = Shell("grep -E 'CapEff|CapAmb' /proc/self/status") with
        {
            Descriptors = WithOutput(pipe), Credentials = new Credentials(65534, 65534, []),
            AmbientSet = 1UL << 10, BoundingSet = 1UL << 10,
        };

        Assert.Equal(["CapEff:\t0000000000000400", "CapAmb:\t0000000000000400"], Run(request, pipe));
    }

    [Fact]
    public void EveryAttributeAtOnce_UnderConstantCollection_NoneFailsAndNothingLeaks()
    {
        // The long form, for a change of what runs in the child: LAUNCHD_SOAK=100000.
        int few = _spawner.Carrier == SpawnCarrier.Clone ? 1000 : 20;
        int births = int.TryParse(Environment.GetEnvironmentVariable("LAUNCHD_SOAK"), out int asked) ? asked : few;

        SoakResult result = Soak.Run(_spawner, births);

        Assert.Equal(new SoakResult(births, 0, 0, result.HeapBytes), result);
        // The runtime's own allocations come and go by hundreds of kilobytes: only many births show a leak of a few bytes each.
        if (births >= 10_000)
            Assert.True(result.HeapBytes < 1024 * 1024, $"{result.HeapBytes} bytes of the heap were not given back");
    }

    [Fact]
    public void FromAThreadThatIsYoungerThanTheSpawner_UnderConstantCollection_NothingIsLost()
    {
        int births = _spawner.Carrier == SpawnCarrier.Clone ? 500 : 10;

        SoakResult result = Soak.RunOnThread(_spawner, births);

        Assert.Equal(new SoakResult(births, 0, 0, result.HeapBytes), result);
    }

    // Of the kinds that a birth opens: the runtime and other tests open and close their own all the time.
    private static HashSet<string> Descriptors() => [.. new DirectoryInfo("/proc/self/fd").GetFiles()
        .Where(f => f.LinkTarget is { } target && (target == "/dev/null" || target.Contains("pidfd", StringComparison.Ordinal)
            || target.StartsWith("/memfd:plan", StringComparison.Ordinal)))
        .Select(f => f.Name)];

    private string[] Run(SpawnRequest request, Pipe pipe)
    {
        SpawnFailure? failure = _spawner.Start(request, out ProcessHandle? child);
        Assert.Null(failure);
        pipe.WriteEnd.Dispose();
        using StreamReader reader = new(new FileStream(
            new Microsoft.Win32.SafeHandles.SafeFileHandle(pipe.ReadEnd.Number, ownsHandle: false), FileAccess.Read));
        string[] lines = reader.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        Assert.Equal(0, Children.Wait(child!));
        child!.Dispose();
        return lines;
    }

    private static DescriptorMapping[] WithOutput(Pipe pipe) => [new(pipe.WriteEnd.Number, 1)];

    private static SpawnRequest Shell(string script) => new()
    {
        Arguments = ["sh", "-c", script], Candidates = ["/bin/sh"],
        Environment = ["PATH=/usr/bin:/bin"], Descriptors = [], WorkingDirectory = "/",
    };

    private protected static FileDescriptor OpenNull() => new(TestLibc.open("/dev/null"u8, 2 | 0x80000));
}

/// <summary>Keeps tests with children apart: they reap their own by pidfd only.</summary>
[CollectionDefinition(nameof(Children), DisableParallelization = true)]
public sealed class Children
{
    internal static unsafe int Wait(ProcessHandle child)
    {
        byte* info = stackalloc byte[128];
        while (Interop.Libc.waitid(Interop.Libc.P_PIDFD, child.Descriptor.Number, info, Interop.Libc.WEXITED) != 0)
            Assert.Equal(Errno.EINTR, Errno.Last);
        return *(int*)(info + 24);
    }
}

internal sealed class Pipe : IDisposable
{
    public unsafe Pipe()
    {
        int* ends = stackalloc int[2];
        Assert.Equal(0, TestLibc.pipe2(ends, 0x80000));
        ReadEnd = new FileDescriptor(ends[0]);
        WriteEnd = new FileDescriptor(ends[1]);
    }

    public FileDescriptor ReadEnd { get; }
    public FileDescriptor WriteEnd { get; }

    public void Dispose()
    {
        ReadEnd.Dispose();
        WriteEnd.Dispose();
    }
}

internal static unsafe partial class TestLibc
{
    [LibraryImport("libc", SetLastError = true)]
    public static partial int pipe2(int* ends, int flags);

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true)]
    private static partial int OpenRaw(byte* path, int flags, int mode);

    public static int open(ReadOnlySpan<byte> path, int flags)
    {
        fixed (byte* text = path)
            return OpenRaw(text, flags, 0);
    }
}
