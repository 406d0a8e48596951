using Launchd.Client;
using Launchd.Keeper;

namespace Launchd.Host.Keeping;

/// <summary>
/// What the keeper held when the supervisor was started, or what was found in the place of that. Owns the descriptors that were not taken.
/// </summary>
/// <param name="heldTaken">The descriptors by their names; close-on-exec.</param>
/// <param name="history">What happened before.</param>
/// <param name="lostNames">Names of descriptors for which this process had no number left; the keeper still holds them.</param>
internal sealed class RestoreAnswer(
    Dictionary<string, FileDescriptor> heldTaken, KeeperHistory history, IReadOnlyList<string> lostNames) : IDisposable
{
    /// <summary>The names of the descriptors that were not taken yet, in no order.</summary>
    public IReadOnlyCollection<string> Names => heldTaken.Keys;

    /// <summary>The descriptors that were not taken yet, borrowed.</summary>
    public IReadOnlyDictionary<string, FileDescriptor> Held => heldTaken;

    /// <summary>Names of descriptors that could not be received, EMFILE. The keeper still holds them.</summary>
    public IReadOnlyList<string> LostNames => lostNames;

    /// <summary>What happened to the supervisors before this one.</summary>
    public KeeperHistory History => history;

    /// <summary>No supervisor was there before this one: nothing is to be restored.</summary>
    public bool IsFirst => history.IsFirst != 0;

    /// <summary>What is held has led to several deaths: descriptors may be used, but no record of a state is to be believed.</summary>
    public bool IsDistrusted => history.IsDistrusted != 0;

    /// <summary>Gives a descriptor to the caller, who owns it from now on; null: there is none of this name, or it was taken.</summary>
    public FileDescriptor? Take(string name) => heldTaken.Remove(name, out FileDescriptor? taken) ? taken : null;

    /// <summary>Closes what was not taken; the keeper's own copies stay.</summary>
    public void Dispose()
    {
        foreach (FileDescriptor descriptor in heldTaken.Values)
            descriptor.Dispose();
        heldTaken.Clear();
    }
}
