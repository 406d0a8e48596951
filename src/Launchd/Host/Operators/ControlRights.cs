using Launchd.Client;
using Launchd.Control;
using Launchd.Interop;
using Launchd.Linux.Sockets;

namespace Launchd.Host.Operators;

/// <summary>What somebody at the control socket may do; each includes those before it.</summary>
internal enum ControlRight
{
    /// <summary>See how services are, what they print and what happened to them.</summary>
    Look,

    /// <summary>Start and end services, and have the supervisor's own configuration read again.</summary>
    Order,

    /// <summary>
    /// What only the supervisor's own rights give: lines of files that it can read, and descriptors out of its services. It is root's,
    /// and that of the supervisor's own user, who has those rights as it is.
    /// </summary>
    Own,
}

/// <summary>Who is at the other end of a connection, as the kernel recorded it when it was made: SO_PEERCRED, unix(7).</summary>
/// <param name="Uid">In the supervisor's user namespace.</param>
/// <param name="IsOwner">Root, or the supervisor's own user.</param>
/// <param name="Pid">Only to tell whose connections are many; 0 in a foreign pid namespace.</param>
internal readonly record struct ControlPeer(uint Uid, bool IsOwner, int Pid = 0)
{
    /// <summary>Null: the kernel does not tell, so it is nobody.</summary>
    public static ControlPeer? Of(FileDescriptor connection) => PeerCredentials.TryRead(connection, out PeerCredentials peer, out _)
        ? new ControlPeer(peer.Uid, peer.Uid == 0 || peer.Uid == Libc.geteuid(), peer.Pid) : null;

    /// <summary>Whom the path of the socket let in (control_mode, control_user, control_group) may look and order.</summary>
    public bool May(ControlRight right) => IsOwner || right <= ControlRight.Order;
}

/// <summary>The one table of who may do what at the control socket; docs/protocol.md shows it.</summary>
internal static class ControlRights
{
    private static readonly Dictionary<string, ControlRight> Needed = new(StringComparer.Ordinal)
    {
        ["org.varlink.service.GetInfo"] = ControlRight.Look,
        ["org.varlink.service.GetInterfaceDescription"] = ControlRight.Look,
        [ControlNames.Interface + ".Status"] = ControlRight.Look,
        [ControlNames.Interface + ".Descriptors"] = ControlRight.Look,
        [ControlNames.Interface + ".Events"] = ControlRight.Look,
        [ControlNames.Interface + ".Logs"] = ControlRight.Look,
        [ControlNames.Interface + ".Plan"] = ControlRight.Look,
        [ControlNames.Interface + ".Start"] = ControlRight.Order,
        [ControlNames.Interface + ".Stop"] = ControlRight.Order,
        [ControlNames.Interface + ".Restart"] = ControlRight.Order,
        [ControlNames.Interface + ".Scale"] = ControlRight.Order,
        [ControlNames.Interface + ".Signal"] = ControlRight.Order,
        [ControlNames.Interface + ".ReloadService"] = ControlRight.Order,
        [ControlNames.Interface + ".Reload"] = ControlRight.Order,
        [ControlNames.Interface + ".Upgrade"] = ControlRight.Order,
        [ControlNames.Interface + ".Shutdown"] = ControlRight.Order,
        [ControlNames.Interface + ".Fetch"] = ControlRight.Own,
    };

    /// <summary><c>file</c> of <c>Plan</c>: what is wrong with a file is told with its lines.</summary>
    public const ControlRight OtherFiles = ControlRight.Own;

    /// <summary>The lines of the configuration in what is wrong with it, told to who asks for a <c>Reload</c> or a <c>Plan</c>.</summary>
    public const ControlRight TextOfFiles = ControlRight.Own;

    /// <summary>What a method needs; null: there is no such method.</summary>
    public static ControlRight? Of(string method) => Needed.TryGetValue(method, out ControlRight right) ? right : null;

    /// <summary>The sentence for somebody who may not.</summary>
    public static string Refusal(string what) =>
        $"only root and the supervisor's own user may {what}: this shows what its rights let it read";
}
