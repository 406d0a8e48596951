using Launchd.Addresses;
using Launchd.Linux.Listening;

namespace Launchd.Host.Listeners;

// Of the options and flags that belong to the open file description, and so stay behind when a program ends.
internal sealed partial class ListenerGuard
{
    // How options should be, by all that they depend on; null: it cannot be told.
    private readonly Dictionary<SampleKey, SharedOptions?> _samples = [];

    /// <summary>
    /// What puts the options of a listener back before its next program runs: not while another has it, which may have set
    /// them on purpose and would be disturbed. On the thread of the birth, because it may wait for who has a lock of the
    /// socket, and because the new program must not have begun.
    /// </summary>
    private (string WaitsFor, Action Work)? PuttingBack(Listener listener)
    {
        bool keepsOptions = listener.Socket.Definition.KeepOptions || listener.Opened.Inherited is not null;
        if (listener.Holders.Count > 0 || keepsOptions || SampleOf(listener) is not { } sample)
            return null;
        bool sharesPort = descriptors.Retired.Count > 0;
        return ($"the listener {listener.Opened.Address}", () =>
        {
            IReadOnlyList<OptionChange> changes = sample.PutBack(listener.Descriptor, sharesPort);
            if (changes.Count > 0)
                mailbox.Post(() => Tell(listener, changes));
        });
    }

    /// <summary>
    /// Looks for what the kernel does not report: where nobody has the listener, on the thread of the birth, since a client that has woken
    /// a service waits for that thread, and a second one would take its processor. The length of the queue is left to the look after READY,
    /// because to ask for that of a Unix socket takes as long as the machine has sockets.
    /// </summary>
    private void LookBefore(Listener listener, List<(string WaitsFor, Action Work)> first)
    {
        // Who has it may hold a lock of it, and must not hold up a successor with that.
        if (listener.Holders.Count > 0)
        {
            Repair(listener);
            return;
        }
        (OpenedListener opened, ListenAddress endpoint) = (listener.Opened, listener.Endpoint);
        first.Add(($"the listener {opened.Address}", () =>
        {
            if (ListenerRepair.Look(opened, endpoint, backlogCount: null) != ListenerFault.None)
                mailbox.Post(() => Repair(listener));
        }));
    }

    private SharedOptions? SampleOf(Listener listener)
    {
        ListenAddress endpoint = listener.Endpoint;
        int domain = SharedOptions.DomainOf(listener.Descriptor);
        ListenerRequest request = listener.Socket.Request;
        SampleKey key = new(endpoint.GetType(), (endpoint as ListenAddress.Unix)?.Kind, domain, request.ShardCount > 0, request.Options);
        if (!_samples.TryGetValue(key, out SharedOptions? sample))
            _samples.Add(key, sample = SharedOptions.Sample(endpoint, domain, request));
        return sample;
    }

    private void Tell(Listener listener, IReadOnlyList<OptionChange> changes)
    {
        foreach (OptionChange change in changes)
        {
            string fault = $"{change.Name} was changed from {change.Was} to {change.Found}";
            Tell(listener, fault, change.IsPutBack ? "put back" : "left as it is: the kernel refused to change it", Once);
        }
    }

    /// <summary>All that the options of a socket depend on.</summary>
    private sealed record SampleKey(Type Kind, UnixSocketKind? UnixKind, int Domain, bool IsSharded, SocketOptions Options);
}
