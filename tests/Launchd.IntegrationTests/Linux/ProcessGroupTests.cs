using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Host;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Processes;
using Xunit;

namespace Launchd.IntegrationTests.Linux;

/// <summary>Process groups by the pidfd of their first process, and what /proc says of processes.</summary>
public sealed class ProcessGroupTests
{
    [FactWhenKernel(6, 9)]
    public async Task AGroupIsSignalledByThePidfdOfItsLeader_UntilNobodyIsInIt()
    {
        await using Command leader = Command.Start(["setsid", "sh", "-c", "sleep 2147483646 & echo $!; exec sleep 2147483647"]);
        int member = int.Parse(await leader.Output.First(_ => true, "the member's pid"));
        using ProcessHandle group = ProcessHandle.TryOpen(leader.Pid)!;

        Assert.Equal(Errno.None, group.SignalGroup(0));
        Living.Kill(leader.Pid);
        _ = await leader.Exit();
        Assert.Equal(Errno.ESRCH, group.Signal(0));
        Assert.Equal(Errno.None, group.SignalGroup(0));

        using ProcessHandle process = ProcessHandle.TryOpen(member)!;
        Assert.Equal(Errno.None, group.SignalGroup(Living.SIGKILL));
        Living.AwaitEnd(process);
    }

    [Fact]
    public void TheFactsOfThisProcess()
    {
        ProcessFacts facts = ProcessFacts.Read(Environment.ProcessId)!.Value;

        Assert.False(facts.HasEnded);
        Assert.True(facts.ThreadCount > 1);
        Assert.True(facts.StartTime > 0);
        Assert.Equal((ulong)Environment.ProcessId, ProcessFacts.Status(Environment.ProcessId, "Pid"));
        Assert.Null(ProcessFacts.Status(Environment.ProcessId, "Nothing"));
        Assert.Null(ProcessFacts.Read(int.MaxValue));
    }

    [Fact]
    public async Task AVariableIsFoundWhereverItStands()
    {
        // It lies across the border of two buffers, and behind one that merely ends like it.
        for (int length = (64 << 10) - 20; length < (64 << 10) + 4; length += 3)
        {
            await using Command other =
                Command.Start(["env", "-i", $"A={new string('x', length)}", "B=WANTED=no", "WANTED=yes", "sleep", "2147483647"]);
            // execve(2) gives the new name, and a moment later the new memory, its environment: no event ends either.
            EnvironmentLook found = EnvironmentLook.Empty;
            string? value = null;
            while (ProcessFacts.NameOf(other.Pid) != "sleep"
                || (found = ProcessEnvironment.Find(other.Pid, 1, "WANTED=", out value)) == EnvironmentLook.Empty)
            {
                await Task.Yield();
            }
            Assert.Equal(EnvironmentLook.Found, found);
            Assert.Equal("yes", value);
            Assert.Equal(EnvironmentLook.Absent, ProcessEnvironment.Find(other.Pid, 1, "MISSING=", out _));
        }
        Assert.Equal(EnvironmentLook.Empty, ProcessEnvironment.Find(int.MaxValue, 1, "WANTED=", out _));
    }
}
