using Launchd.Model;

namespace Launchd.Core.Sharing;

/// <summary>
/// A descriptor that an instance offers to siblings. The number is one of the owner's table; <see cref="Id"/> is never used again.
/// </summary>
internal sealed record Publication(long Id, InstanceId Owner, int Slot, int Generation, string Name, int Number);

/// <summary>A sibling's request that waits for a publication. <paramref name="Slot"/> null: of any slot.</summary>
internal sealed record WaitingRequest(long Id, InstanceId Asking, ServiceName Service, int? Slot, string Name);

/// <summary>How far an instance is in its life: of several that published a name, the one with the highest rank is asked.</summary>
internal enum SiblingRank { Draining, Starting, Ready }

/// <summary>
/// What instances have published, and which requests wait for a publication. Knows no descriptors; which service may have
/// which is decided by <see cref="SharingPolicy"/>.
/// </summary>
internal sealed class Siblings(Func<InstanceId, SiblingRank> rankOf)
{
    private readonly Dictionary<ServiceName, List<Publication>> _published = [];
    private readonly List<WaitingRequest> _waiting = [];
    private long _count;

    /// <summary>
    /// Records a publication, which replaces one of the same owner and name. Null: the owner has
    /// published as many as <see cref="Limits"/> allows.
    /// </summary>
    public Publication? Publish(InstanceId owner, int slot, int generation, string name, int number, out Publication? replaced)
    {
        if (!_published.TryGetValue(owner.Service, out List<Publication>? ofService))
            _published.Add(owner.Service, ofService = []);
        replaced = ofService.Find(p => p.Owner == owner && p.Name == name);
        if (replaced is not null)
            _ = ofService.Remove(replaced);
        else if (ofService.Count(p => p.Owner == owner) >= Limits.PublishedCount)
            return null;
        Publication published = new(++_count, owner, slot, generation, name, number);
        ofService.Add(published);
        return published;
    }

    /// <summary>Takes back a publication. Null: the owner has not published anything under that name.</summary>
    public Publication? Unpublish(InstanceId owner, string name)
    {
        Publication? found = Of(owner.Service).FirstOrDefault(p => p.Owner == owner && p.Name == name);
        if (found is not null)
            _ = _published[owner.Service].Remove(found);
        return found;
    }

    /// <summary>An instance is over: removes its publications and the requests for which it waits.</summary>
    public IReadOnlyList<Publication> Forget(InstanceId over, out IReadOnlyList<WaitingRequest> unanswered)
    {
        unanswered = _waiting.Count == 0 ? [] : [.. _waiting.Where(w => w.Asking == over)];
        _ = _waiting.RemoveAll(w => w.Asking == over);
        if (!_published.TryGetValue(over.Service, out List<Publication>? ofService))
            return [];
        Publication[] gone = [.. ofService.Where(p => p.Owner == over)];
        _ = ofService.RemoveAll(p => p.Owner == over);
        return gone;
    }

    public IReadOnlyList<Publication> Of(ServiceName service) =>
        _published.TryGetValue(service, out List<Publication>? ofService) ? ofService : [];

    /// <summary>
    /// The best instance that has published the name: ready before starting before draining, then the newest generation, then the lowest
    /// slot. An instance gets its own publication only when it names its own slot.
    /// </summary>
    public Publication? Find(InstanceId asking, ServiceName service, int? slot, string name)
    {
        Publication? best = null;
        if (!_published.TryGetValue(service, out List<Publication>? ofService))
            return null;
        foreach (Publication candidate in ofService)
        {
            if (candidate.Name == name && (slot is { } wanted ? candidate.Slot == wanted : candidate.Owner != asking)
                && (best is null || IsBetter(candidate, best)))
            {
                best = candidate;
            }
        }
        return best;
    }

    /// <summary>Puts a request on the list of those that wait.</summary>
    public WaitingRequest Wait(InstanceId asking, ServiceName service, int? slot, string name)
    {
        WaitingRequest waiting = new(++_count, asking, service, slot, name);
        _waiting.Add(waiting);
        return waiting;
    }

    /// <summary>False: the request was answered, or the asking instance is over.</summary>
    public bool StopWaiting(WaitingRequest waiting) => _waiting.Remove(waiting);

    /// <summary>Takes the requests off the list that wait for this publication, in the order in which they came.</summary>
    public IReadOnlyList<WaitingRequest> TakeWaiting(Publication published)
    {
        if (_waiting.Count == 0)
            return [];
        WaitingRequest[] served = [.. _waiting.Where(w => w.Service == published.Owner.Service && w.Name == published.Name
            && (w.Slot is { } slot ? slot == published.Slot : w.Asking != published.Owner))];
        foreach (WaitingRequest one in served)
            _ = _waiting.Remove(one);
        return served;
    }

    private bool IsBetter(Publication candidate, Publication best)
    {
        int byRank = rankOf(candidate.Owner).CompareTo(rankOf(best.Owner));
        if (byRank != 0)
            return byRank > 0;
        return candidate.Generation != best.Generation ? candidate.Generation > best.Generation : candidate.Slot < best.Slot;
    }
}
