using Launchd.Core;
using Launchd.Interop;
using Launchd.Linux.Processes;

namespace Launchd.Host.Instances;

// What is known of each.
internal sealed partial class Orphans
{
    /// <summary>Those that are not children of this process have another parent by now, which is free to reap them.</summary>
    public void Disown()
    {
        int own = Libc.getpid();
        foreach (int pid in _known.Keys.Where(p => Foreign?.Find(p) is null && ProcessFacts.Read(p)?.Parent != own).ToArray())
            Forget(pid);
    }

    private enum Kind
    {
        /// <summary>It belongs to an instance.</summary>
        Owned,

        /// <summary>It belonged to an instance that is over, and that left it on purpose or did not get rid of it.</summary>
        Former,

        /// <summary>To which instance it belongs cannot be told.</summary>
        Stray,

        /// <summary>It could not be looked at yet.</summary>
        Pending,

        /// <summary>It had ended before it was looked at, and is about to be reaped.</summary>
        Over,

        /// <summary>A child that this process had before it was a supervisor.</summary>
        Elder,
    }

    private sealed class Orphan
    {
        public required Kind Kind { get; init; }
        public RunningInstance? Owner { get; init; }
        public int Tries { get; init; }

        /// <summary>When one that could not be looked at is looked at again.</summary>
        public Moment DueAt { get; init; }
        public string Why { get; init; } = "";
    }
}
