using Launchd.AcceptanceTests.Support;
using Launchd.Client.Interop;
using Launchd.Client.Tests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.Client.Tests;

/// <summary>The kernel's own cases for pidfd_open(2) and pidfd_getfd(2), restated for the library, and those that it leaves out.</summary>
public sealed class PidFdTests
{
    private const int EPERM = 1, ESRCH = 3, EBADF = 9, EINVAL = 22,
        O_NONBLOCK = 0x800, F_SETFL = 4, SIGTERM = 15, SIGSTOP = 19, SIGCONT = 18;
    private static readonly string[] Nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

    private static PidFd Self => PidFd.Open(Environment.ProcessId);

    [Fact]
    public void WhatIsFetched_IsTheSameOpenFile_AndCloseOnExec()
    {
        using FileDescriptor memory = FileDescriptor.CreateMemory("m", 8);
        using PidFd self = Self;
        _ = ClientLibc.fcntl(memory.Number, ClientLibc.F_SETFD, 0);

        using FileDescriptor fetched = self.GetDescriptor(memory.Number);

        Assert.NotEqual(memory.Number, fetched.Number);
        Assert.True(Kernel.IsSameFile(memory.Number, fetched.Number));
        Assert.True(Kernel.IsCloseOnExec(fetched.Number));
        Assert.Equal(0, ClientLibc.fcntl(fetched.Number, F_SETFL, O_NONBLOCK));
        Assert.Equal(O_NONBLOCK, ClientLibc.fcntl(memory.Number, ClientLibc.F_GETFL, 0) & O_NONBLOCK);
    }

    [Fact]
    public void AnUnknownNumberIsEBADF()
    {
        using PidFd self = Self;
        Assert.Equal(EBADF, Error(() => self.GetDescriptor(-1)));
        Assert.Equal(EBADF, Error(() => self.GetDescriptor(Kernel.FreeBlock())));
    }

    [Fact]
    public void AFlagThatNobodyKnowsIsEINVAL()
    {
        using PidFd self = Self;
        Assert.Equal(EINVAL, Error(() => self.GetDescriptor(0, flags: 1)));
    }

    [Fact]
    public void WhatIsNoProcessIsEBADF()
    {
        using var notOne = new PidFd(FileDescriptor.CreateMemory("m", 8));

        Assert.Equal(EBADF, Error(() => notOne.GetDescriptor(0)));
        Assert.Equal(EBADF, Error(() => notOne.Signal(0)));
        Assert.Equal(LaunchdError.WrongKind, Assert.Throws<LaunchdException>(() => notOne.Pid).Error);
    }

    [Fact]
    public void ItselfOpened_SaysWhoItIs()
    {
        using PidFd self = Self;

        Assert.Equal(Environment.ProcessId, self.Pid);
        Assert.True(Kernel.IsCloseOnExec(self.Descriptor.Number));
    }

    [Theory]
    [InlineData(-1, EINVAL)]
    [InlineData(0, EINVAL)]
    [InlineData(int.MaxValue, ESRCH)]
    public void WhatIsNoProcessesNumber_IsRefused(int pid, int errno) => Assert.Equal(errno, Error(() => PidFd.Open(pid)));

    [Fact]
    public async Task TheEndIsAwaited_NotAStop_AndAfterwardsThereIsNobody()
    {
        await using OtherProcess other = await OtherProcess.Start("wait");
        using PidFd process = PidFd.Open(other.Pid);
        Assert.Equal("waiting", await other.Answer());
        Task ended = process.WaitForExitAsync();

        process.Signal(0);
        process.Signal(SIGSTOP);
        await Patience.Until(() => File.ReadAllText($"/proc/{other.Pid}/stat").Split(") ")[1][0] == 'T', "stop");
        Assert.False(ended.IsCompleted);
        process.Signal(SIGCONT);
        process.Signal(SIGTERM);

        await ended.WaitAsync(Deadline.Generous);
        _ = await other.End();
        Assert.Equal(ESRCH, Error(() => process.Signal(0)));
        Assert.Equal(ESRCH, Error(() => process.GetDescriptor(0)));
        Assert.Equal(-1, process.Pid);
    }

    [Fact]
    public async Task AWaitThatIsCancelled_LeavesTheProcessAlone()
    {
        await using OtherProcess other = await OtherProcess.Start("wait");
        using PidFd process = PidFd.Open(other.Pid);
        using var cancelling = new CancellationTokenSource();
        Task waiting = process.WaitForExitAsync(cancelling.Token);
        await cancelling.CancelAsync();

        _ = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        process.Signal(0);
    }

    /// <summary>Without Yama a process of the same user may; with it only a parent: the scope stands in the message.</summary>
    [FactWhenRoot]
    public async Task AnotherOfTheSameUser_MayTake_UnlessItHides()
    {
        await using OtherProcess owner = await OtherProcess.StartAs(Nobody, "wait");
        Assert.Equal("waiting", await owner.Answer());
        await using OtherProcess hidden = await OtherProcess.StartAs(Nobody, "hide");
        Assert.Equal("hidden", await hidden.Answer());

        string yama =
            File.Exists("/proc/sys/kernel/yama/ptrace_scope") ? File.ReadAllText("/proc/sys/kernel/yama/ptrace_scope").Trim() : "none";
        Assert.True(await Taken(Nobody, owner.Pid) == (yama is "none" or "0" ? 0 : EPERM), $"Yama: {yama}");
        Assert.Equal(EPERM, await Taken(Nobody, hidden.Pid));
        Assert.Equal(EPERM, await Taken(Nobody, Environment.ProcessId));
        Assert.Equal(0, await Taken([], owner.Pid));
        Assert.Equal(0, await Taken([], hidden.Pid));
    }

    private static async Task<int> Taken(string[] starter, int pid)
    {
        await using OtherProcess taker = await OtherProcess.StartAs(starter, "take", $"{pid}", "0");
        return int.Parse(await taker.Answer());
    }

    private static int Error(Func<IDisposable> action) => Error(() => action().Dispose());

    private static int Error(Action action) => Assert.Throws<LaunchdException>(action).ErrorNumber;
}
