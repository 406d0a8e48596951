using Launchd.Core;
using Launchd.Host.Loop;
using Launchd.Linux.Listening;

namespace Launchd.Host.Listeners;

/// <summary>What was done so that nobody comes to a listener at present.</summary>
/// <param name="Since">When the last client could come.</param>
/// <param name="Aside">The name that its path has meanwhile; null: it has none, or its own.</param>
internal sealed record StoppedIntake(Moment Since, OwnedPath? Aside)
{
    /// <summary>The last place in its queue was taken away too, and for good.</summary>
    public bool IsEnded { get; set; }
}

/// <summary>Stops new clients from coming to listeners, and lets them come again. Knows those that are stopped.</summary>
internal sealed class StoppedIntakes
{
    private readonly HashSet<Listener> _stopped = [];

    /// <summary>From now on nobody comes to it.</summary>
    public StoppedIntake Stop(Listener listener)
    {
        if (listener.Intake is { } stopped)
            return stopped;
        _stopped.Add(listener);
        return listener.Intake = new StoppedIntake(HostClock.Now, ListenerIntake.Stop(listener.Opened, listener.Endpoint));
    }

    /// <summary>Clients may come again: the listener is handed out again, because a service goes back to what it was.</summary>
    public void Resume(Listener listener)
    {
        if (Take(listener) is { } intake)
            ListenerIntake.Resume(listener.Opened, listener.Endpoint, listener.BacklogCount, intake.Aside);
    }

    /// <summary>Clients may come again to every listener that the configuration has.</summary>
    public void ResumeConfigured()
    {
        foreach (Listener listener in _stopped.Where(l => l.IsConfigured).ToArray())
            Resume(listener);
    }

    /// <summary>The listener is about to be closed: the name that its path has meanwhile must not stay behind.</summary>
    public void Remove(Listener closing)
    {
        if (Take(closing) is not { Aside: { } aside })
            return;
        if (closing.RemovesPath)
            _ = UnixPath.RemoveIfOurs(aside, out _);
        else
            ListenerIntake.Resume(closing.Opened, closing.Endpoint, 0, aside);
    }

    private StoppedIntake? Take(Listener listener)
    {
        StoppedIntake? intake = listener.Intake;
        listener.Intake = null;
        _ = _stopped.Remove(listener);
        return intake;
    }
}
