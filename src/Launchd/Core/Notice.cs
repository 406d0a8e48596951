using System.Collections.Immutable;
using Launchd.Core.Instances;
using Launchd.Model;

namespace Launchd.Core;

/// <summary>
/// Something that people and programs may want to know: one for each kind of <c>launchd-cs events</c>, a closed family. The host
/// adds the wall-clock time, keeps the newest, logs and streams them.
/// </summary>
internal abstract record Notice
{
    private Notice()
    {
    }

    /// <summary>The service that the notice is about; null: it is about the supervisor.</summary>
    public virtual ServiceName? Service => null;

    /// <summary>About one instance.</summary>
    internal abstract record OfInstance(InstanceId Instance, int Slot, int Generation, int Pid) : Notice
    {
        public override ServiceName? Service => Instance.Service;
    }

    internal sealed record Spawned(InstanceId Instance, int Slot, int Generation, int Pid, StartReason Reason)
        : OfInstance(Instance, Slot, Generation, Pid);

    internal sealed record ExecFailed(InstanceId Instance, int Slot, int Generation, Failure.SpawnFailed Failure)
        : OfInstance(Instance, Slot, Generation, 0);

    internal sealed record Notified(InstanceId Instance, int Slot, int Generation, int Pid, int SenderPid, uint SenderUid,
        ImmutableArray<string> Lines, int DescriptorCount)
        : OfInstance(Instance, Slot, Generation, Pid);

    internal sealed record Ready(InstanceId Instance, int Slot, int Generation, int Pid, TimeSpan After)
        : OfInstance(Instance, Slot, Generation, Pid);

    /// <summary>A job has ended well: what requires it may start.</summary>
    internal sealed record Completed(InstanceId Instance, int Slot, int Generation, int Pid, TimeSpan After)
        : OfInstance(Instance, Slot, Generation, Pid);

    internal sealed record Draining(InstanceId Instance, int Slot, int Generation, int Pid, string Reason)
        : OfInstance(Instance, Slot, Generation, Pid);

    internal sealed record Exited(InstanceId Instance, int Slot, int Generation, int Pid, ExitStatus Status, bool IsFailure)
        : OfInstance(Instance, Slot, Generation, Pid)
    {
        /// <summary>Why it is a failure whatever the status says; null: the status and the notices before say all.</summary>
        public string? Reason { get; init; }
    }

    /// <summary>The main process has ended by itself, and other processes of the instance, which still run, are ended with it.</summary>
    internal sealed record LeftoversEnded(InstanceId Instance, int Slot, int Generation, int Pid, string Processes, bool EndedWell)
        : OfInstance(Instance, Slot, Generation, Pid);

    /// <summary>The next attempt of a slot comes after <paramref name="Delay"/>.</summary>
    internal sealed record Restarting(ServiceName Of, int Slot, int Generation, TimeSpan Delay, string? Reason) : Notice
    {
        public override ServiceName? Service => Of;
    }

    internal sealed record Failed(ServiceName Of, int Slot, int Generation, Failure Failure) : Notice
    {
        public override ServiceName? Service => Of;
    }

    internal sealed record Stopped(ServiceName Of, int Slot, int Generation) : Notice
    {
        public override ServiceName? Service => Of;
    }

    /// <summary>Instances of another generation take over from now on.</summary>
    internal sealed record RolloutStarted(ServiceName Of, int Generation, int Former, StartReason Reason) : Notice
    {
        public override ServiceName? Service => Of;
    }

    internal sealed record RolloutFinished(ServiceName Of, int Generation, TimeSpan After) : Notice
    {
        public override ServiceName? Service => Of;
    }

    /// <summary>A new generation failed and is given up; the former one serves on or again.</summary>
    internal sealed record RolledBack(ServiceName Of, int Generation, int Former, string Reason) : Notice
    {
        public override ServiceName? Service => Of;
    }

    /// <summary>A draining instance told how much it still has to do.</summary>
    internal sealed record DrainProgressed(InstanceId Instance, int Slot, int Generation, int Pid, int RemainingCount)
        : OfInstance(Instance, Slot, Generation, Pid);

    /// <summary>The pool has another size.</summary>
    internal sealed record Scaled(ServiceName Of, int SlotCount, int FormerCount) : Notice
    {
        public override ServiceName? Service => Of;
    }

    internal sealed record Activated(ServiceName Of, int ListenerIndex) : Notice
    {
        public override ServiceName? Service => Of;
    }

    internal sealed record ActivationPaused(ServiceName Of, TimeSpan Pause, string Reason) : Notice
    {
        public override ServiceName? Service => Of;
    }

    internal sealed record ActivationResumed(ServiceName Of) : Notice
    {
        public override ServiceName? Service => Of;
    }

    /// <summary>A descriptor went into the store, or was refused (<paramref name="Refusal"/>).</summary>
    internal sealed record Stored(InstanceId Instance, int Slot, int Generation, int Pid, string Name, string? Refusal)
        : OfInstance(Instance, Slot, Generation, Pid)
    {
        /// <summary>How many such events were left out since the last one, because there were too many.</summary>
        public long SkippedCount { get; init; }
    }

    /// <summary>The store holds less than before, by a reload, and so the newest descriptors were closed.</summary>
    /// <param name="Of">The service.</param>
    /// <param name="Limit">How many it may hold now.</param>
    /// <param name="Names">Of what was closed, oldest first.</param>
    internal sealed record StoreShrunk(ServiceName Of, int Limit, ImmutableArray<string> Names) : Notice
    {
        public override ServiceName? Service => Of;
    }

    /// <summary>A sibling was sent a descriptor.</summary>
    /// <param name="Instance">The owner of the descriptor.</param>
    /// <param name="Slot">Of the owner.</param>
    /// <param name="Generation">Of the owner.</param>
    /// <param name="Pid">Of the owner.</param>
    /// <param name="Name">Under which it is shared.</param>
    /// <param name="To">The instance that asked, or the operator.</param>
    /// <param name="Way">held, taken, given, reopened or direct.</param>
    /// <param name="SkippedCount">How many such events were left out since the last one, because there were too many.</param>
    internal sealed record DescriptorSent(
        InstanceId Instance, int Slot, int Generation, int Pid, string Name, string To, string Way, long SkippedCount)
        : OfInstance(Instance, Slot, Generation, Pid);

    /// <summary>A request was denied by the configuration; <paramref name="Rule"/> would allow it.</summary>
    internal sealed record DescriptorDenied(ServiceName Of, string Name, string To, string Rule, long SkippedCount) : Notice
    {
        public override ServiceName? Service => Of;
    }

    /// <summary>The supervisor closed an instance's channel; the instance itself goes on.</summary>
    internal sealed record ChannelClosed(InstanceId Instance, int Slot, int Generation, int Pid, string Reason)
        : OfInstance(Instance, Slot, Generation, Pid);

    /// <summary>The kernel refused a signal to an instance.</summary>
    internal sealed record SignalRefused(InstanceId Instance, int Slot, int Generation, int Pid, SignalNumber Number, string Reason)
        : OfInstance(Instance, Slot, Generation, Pid);

    internal sealed record Shutdown(string Reason) : Notice;

    /// <summary>SIGKILL was sent, because the time to stop was over.</summary>
    internal sealed record Killing(InstanceId Instance, int Slot, int Generation, int Pid) : OfInstance(Instance, Slot, Generation, Pid);
}
