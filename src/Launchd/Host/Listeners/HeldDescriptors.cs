using Launchd.Addresses;
using Launchd.Client;
using Launchd.Host.Provisioning;
using Launchd.Linux.Descriptors;

namespace Launchd.Host.Listeners;

/// <summary>
/// Copies of the configuration's listeners and files that the keeper holds for the supervisor after this one. For the loop's thread.
/// </summary>
/// <param name="keeper">Holds them.</param>
/// <param name="descriptors">What is open.</param>
internal sealed class HeldDescriptors(IDescriptorKeeper keeper, DescriptorTable descriptors)
{
    private const string OtherPrefix = "other.";

    private readonly Dictionary<string, FileDescriptor> _held = new(StringComparer.Ordinal);

    /// <summary>The name by which a file is held.</summary>
    public static string NameOfFile(string key) => $"file.{key}";

    /// <summary>Whether what is held by a name is opened again and held by the same name by each supervisor.</summary>
    public static bool IsReopened(string name) => name.StartsWith(OtherPrefix, StringComparison.Ordinal);

    /// <summary>Other listeners or files are open than before: the keeper is told at once.</summary>
    public void Update()
    {
        Dictionary<string, FileDescriptor> wanted = new(StringComparer.Ordinal);
        foreach (Listener listener in descriptors.Configured)
            wanted[NameOf(listener)] = listener.Descriptor;
        foreach (HeldFile file in descriptors.Files)
        {
            if (file.Descriptor is { } shared)
                wanted[NameOfFile(file.Definition.Key)] = shared;
        }
        foreach ((string name, FileDescriptor descriptor) in wanted)
        {
            if (_held.GetValueOrDefault(name) == descriptor)
                continue;
            keeper.Store(name, descriptor);
            _held[name] = descriptor;
        }
        foreach (string gone in _held.Keys.Where(name => !wanted.ContainsKey(name)).ToArray())
        {
            keeper.Drop(gone);
            _ = _held.Remove(gone);
        }
    }

    // A FIFO and a message queue are opened again by their paths; while the keeper has them, what is in them is not lost.
    private static string NameOf(Listener listener)
    {
        (string key, int endpoint, int shard) = (listener.Socket.Key, listener.Opened.EndpointIndex, listener.Opened.ShardIndex);
        bool isSocket = listener.Endpoint is ListenAddress.Tcp or ListenAddress.Udp or ListenAddress.Unix;
        return isSocket && listener.Opened.Inherited is null
            ? InheritedListeners.NameOf(key, endpoint, shard) : $"{OtherPrefix}{key}.{endpoint}.{shard}";
    }
}
