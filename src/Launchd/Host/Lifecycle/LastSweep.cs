using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Lifecycle;

/// <summary>
/// Ends the orphans at the end of the supervisor: once the services have ended, no process that one of them left may live on unknown. They
/// get SIGTERM, a moment later SIGKILL, and those that live even then are named in the log.
/// </summary>
/// <param name="trees">The processes of all instances.</param>
/// <param name="delays">Of the loop.</param>
/// <param name="logger">Told what is left.</param>
/// <param name="haveCommandsEnded">Whether the commands beside instances, which were killed, have ended.</param>
/// <param name="onEnd">Called once.</param>
internal sealed class LastSweep(ProcessTrees trees, Delays delays, ILogger logger, Func<bool> haveCommandsEnded, Action onEnd)
{
    private const int Term = 15, Kill = 9;

    private bool _isOver;
    private bool _hasKilled;

    public void Begin()
    {
        Look();
        if (_isOver)
            return;
        if (trees.Orphans.All().Count is > 0 and int count)
            SupervisorLog.Sweeping(logger, count);
        trees.SignalAll(Term);
        delays.Limit(Limits.StrayPatience, this, KillAll);
    }

    /// <summary>A process has ended: looks whether any is left.</summary>
    public void Look()
    {
        if (_isOver || !trees.Find() || trees.IsChasing || !haveCommandsEnded())
            return;
        if (trees.Orphans.All().Count == 0)
            End();
        else if (_hasKilled && trees.Orphans.All().All(Survivors.IsOutOfReach))
            GiveUp(); // none of them got the signal
    }

    private void KillAll()
    {
        _hasKilled = true;
        trees.SignalAll(Kill);
        delays.Limit(Limits.KillGrace, this, GiveUp);
        Look();
    }

    private void GiveUp()
    {
        foreach (int pid in trees.Orphans.All())
            SupervisorLog.Left(logger, Survivors.Describe(pid));
        End();
    }

    private void End()
    {
        _isOver = true;
        delays.Cancel(this);
        onEnd();
    }
}
