using System.Collections.Immutable;
using Launchd.Addresses;
using Launchd.Linux.Listening;
using Launchd.Model;

namespace Launchd.Host.Provisioning;

/// <summary>
/// The open listeners of one <c>[sockets.NAME]</c>. The object does not change: a reload and the listener guard put another in its place,
/// so that a thread may go on using the one that it read from the table.
/// </summary>
/// <param name="Definition">As the configuration has it.</param>
/// <param name="Request">As it was opened, owner and flags resolved.</param>
/// <param name="Opened">In the order of the addresses, shards of one address together.</param>
/// <param name="Aliases">Symbolic links made for it.</param>
internal sealed record HeldSocket(
    ListenerDefinition Definition, ListenerRequest Request, ImmutableArray<OpenedListener> Opened, ImmutableArray<OwnedPath> Aliases)
{
    public string Key => Definition.Key;

    /// <summary>The endpoint of one of its listeners, with the port at which it is bound.</summary>
    public ListenAddress EndpointOf(OpenedListener listener) => ListenerRepair.Bound(Request.Endpoints[listener.EndpointIndex], listener);

    /// <summary>The address of the configuration to which one of its listeners belongs.</summary>
    public ListenAddress AddressOf(OpenedListener listener) => Definition.Addresses[listener.EndpointIndex];
}
