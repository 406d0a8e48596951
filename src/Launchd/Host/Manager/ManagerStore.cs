using Launchd.Addresses;
using Launchd.Client;
using Launchd.Host.Listeners;
using Launchd.Host.Loop;

namespace Launchd.Host.Manager;

/// <summary>
/// Copies of the listeners that the service manager keeps (FDSTORE=1 of sd_notify(3)). It passes them to the next supervisor of the unit,
/// so that clients in their queues are served even when this one was killed. For the loop's thread.
/// </summary>
/// <param name="link">The way to the manager.</param>
/// <param name="most">Descriptors that the manager stores.</param>
/// <param name="descriptors">The listeners.</param>
/// <param name="delays">The loop's pauses.</param>
internal sealed class ManagerStore(ManagerLink link, int most, DescriptorTable descriptors, Delays delays) : IDisposable
{
    /// <summary>
    /// The manager passes all names in one variable, of which execve(2) takes 128 KiB (MAX_ARG_STRLEN); and longer names than 255 bytes
    /// count as none (sd_notify(3)).
    /// </summary>
    private const int MostNameBytes = 100 << 10, LongestName = 255;

    private readonly Dictionary<string, FileDescriptor> _stored = new(StringComparer.Ordinal);

    /// <summary>Told how many listeners are not stored, because the store is too small or their names are too long.</summary>
    public Action<int>? OnLeftOut { get; set; }

    /// <summary>The store is as a former supervisor left it. Brings it up to date.</summary>
    /// <param name="stored">The listeners that came from it, by the names that they have there.</param>
    public void Begin(IReadOnlyDictionary<string, FileDescriptor> stored)
    {
        foreach ((string name, FileDescriptor descriptor) in stored)
            _stored.Add(name, descriptor);
        Update();
    }

    /// <summary>Listeners were opened, exchanged or retired: the store follows at the end of this turn of the loop.</summary>
    public void NoteChange() => delays.After(TimeSpan.Zero, this, Update);

    public void Dispose() => delays.Cancel(this);

    private void Update()
    {
        Dictionary<string, FileDescriptor> wanted = new(StringComparer.Ordinal);
        int leftOut = 0, nameBytes = 0;
        foreach (Listener listener in descriptors.Configured)
        {
            // The manager has the inherited ones. The others can be opened anew at any time, and have no clients who wait.
            bool isKind = listener.Endpoint is ListenAddress.Tcp or ListenAddress.Udp or ListenAddress.Unix;
            if (!isKind || listener.Opened.Inherited is not null)
                continue;
            string name = InheritedListeners.NameOf(listener.Socket.Key, listener.Opened.EndpointIndex, listener.Opened.ShardIndex);
            if (wanted.Count < most && name.Length <= LongestName && nameBytes + name.Length < MostNameBytes)
            {
                wanted.Add(name, listener.Descriptor);
                nameBytes += name.Length + 1;
            }
            else
            {
                leftOut++;
            }
        }
        // All removals first: the manager takes no descriptor a second time, under another name.
        foreach ((string name, FileDescriptor descriptor) in _stored.ToArray())
        {
            if (wanted.GetValueOrDefault(name) == descriptor)
                continue;
            link.Send($"FDSTOREREMOVE=1\nFDNAME={name}");
            _ = _stored.Remove(name);
        }
        foreach ((string name, FileDescriptor descriptor) in wanted)
        {
            // Without FDPOLL=0 the manager drops a socket at its first hang-up, which the guard of listeners mends.
            if (_stored.TryAdd(name, descriptor))
                link.Send($"FDSTORE=1\nFDPOLL=0\nFDNAME={name}", descriptor);
        }
        if (leftOut > 0)
            OnLeftOut?.Invoke(leftOut);
    }
}
