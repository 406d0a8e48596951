using Launchd.Core;

namespace Launchd.Host.Loop;

/// <summary>
/// Takes events from all parts of the host and hands them to the core one after the other, each when all effects of the one before have
/// been carried out. Does not know the core, so that a part which reports events depends on nothing else. For the loop's thread.
/// </summary>
internal sealed class EventFeed
{
    private readonly Queue<Event> _results = new();
    private readonly Queue<Event> _happened = new();
    private bool _isFeeding;
    private long _ownRequests;

    /// <summary>Takes one event, and throws nothing. Set once, before anything happens.</summary>
    public Action<Event>? OnEvent { get; set; }

    /// <summary>Something happened. Steps at once, or after the step that is under way.</summary>
    public void Feed(Event happened)
    {
        _happened.Enqueue(happened);
        if (_isFeeding)
            return;
        _isFeeding = true;
        try
        {
            // Results of effects first: nothing from outside may come between a spawn and its result.
            while (_results.TryDequeue(out Event? next) || _happened.TryDequeue(out next))
                OnEvent?.Invoke(next);
        }
        finally
        {
            _isFeeding = false;
        }
    }

    /// <summary>The result of an effect that is being carried out.</summary>
    public void FeedResult(Event result) => _results.Enqueue(result);

    /// <summary>An order of the supervisor's own. Numbers of operators' orders count upwards from 1.</summary>
    public RequestId NextOwnRequest() => new(--_ownRequests);
}
