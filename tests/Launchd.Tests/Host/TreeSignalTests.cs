using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Loop;
using Launchd.Host.Provisioning;
using Launchd.Interop;
using Launchd.Linux.Loop;
using Launchd.Linux.Processes;
using Launchd.Model;
using Launchd.Tests.Core;
using Xunit;

namespace Launchd.Tests.Host;

/// <summary>Whether a signal reached anybody of an instance.</summary>
[Collection("Instances")]
public sealed class TreeSignalTests : IDisposable
{
    private readonly EventLoop _loop = new();
    private readonly Delays _delays;
    private readonly ProcessTrees _trees;
    private readonly List<RunningInstance> _instances = [];

    public TreeSignalTests()
    {
        _delays = new Delays(_loop);
        _trees = new ProcessTrees(_delays, () => 0, isKnown: _ => true, isCloning: () => false, () => { }, (_, _, _) => { });
    }

    public void Dispose()
    {
        foreach (RunningInstance instance in _instances)
            instance.Dispose();
        _delays.Dispose();
        _loop.Dispose();
    }

    // Whoever is told of a refusal gives the instance up at once: those that are about to end must not be lost by that.
    [Fact]
    public void ASignalToSeveral_IsRefused_OnlyIfNoneHasGotIt()
    {
        Errno[] all = [Errno.None, Errno.ESRCH, Errno.EPERM];
        Assert.All(all, other => Assert.Equal(Errno.None, ProcessTrees.Together(Errno.None, other)));
        Assert.All(all, one => Assert.Equal(Errno.None, ProcessTrees.Together(one, Errno.None)));
        Assert.Equal(Errno.EPERM, ProcessTrees.Together(Errno.EPERM, Errno.ESRCH));
        Assert.Equal(Errno.EPERM, ProcessTrees.Together(Errno.ESRCH, Errno.EPERM));
        Assert.Equal(Errno.ESRCH, ProcessTrees.Together(Errno.ESRCH, Errno.ESRCH));
    }

    // The core may hear of its end only a second later.
    [Fact]
    public void ASignalToAMainProcessThatHasEnded_IsNotSent()
    {
        RunningInstance web = Make();
        web.Process = ProcessHandle.TryOpen(Environment.ProcessId);
        Assert.Equal(Errno.None, _trees.Signal(web, 0, KillScope.Process));
        web.MainEnded = true;
        Assert.Equal(Errno.ESRCH, _trees.Signal(web, 0, KillScope.Process));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void AnInstance_IsOutOfReach_IfNoneOfItMayBeSignalled(bool isFirstProcess)
    {
        RunningInstance web = Make();
        web.Process = ProcessHandle.TryOpen(isFirstProcess ? 1 : Environment.ProcessId);
        Assert.Equal(isFirstProcess && Libc.kill(1, 0) != 0, _trees.IsOutOfReach(web));
    }

    [Fact]
    public void OfAnInstanceThatHasEnded_NothingIsOutOfReach()
    {
        RunningInstance web = Make();
        web.MainEnded = true;
        Assert.False(_trees.IsOutOfReach(web));
        Assert.Null(_trees.Remains(web));
    }

    private RunningInstance Make()
    {
        ServiceDefinition service = A.Service("web");
        UserTable users = new(A.Definition(service));
        Provision provision = new(service) { User = users[service.Execution], Sockets = [], Files = [], Users = users };
        RunningInstance instance = new(new InstanceId(service.Name, 1), slot: 0, generation: 1, provision);
        _instances.Add(instance);
        return instance;
    }
}
