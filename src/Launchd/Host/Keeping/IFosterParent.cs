using Launchd.Linux.Processes;

namespace Launchd.Host.Keeping;

/// <summary>
/// The parent of the supervisor. It has the children of supervisors before this one, which are left zombies when they have ended.
/// </summary>
internal interface IFosterParent
{
    /// <summary>The next of them that has ended; the same one until it is reaped. False: there is none.</summary>
    public bool TryPeek(out Reaped ended);

    /// <summary>Reaps one of which <see cref="TryPeek"/> has told.</summary>
    public void Reap(int pid);
}
