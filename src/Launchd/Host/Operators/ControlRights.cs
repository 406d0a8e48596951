using Launchd.Client;
using Launchd.Control;
using Launchd.Interop;
using Launchd.Linux.Sockets;

namespace Launchd.Host.Operators;

/// <summary>What a peer at the control socket may do; each right includes those before it.</summary>
internal enum ControlRight
{
    /// <summary>See the state of services, their output and their events.</summary>
    Look,

    /// <summary>Start and stop services, and have the supervisor's own configuration read again.</summary>
    Order,

    /// <summary>
    /// Use the supervisor's own rights: get lines of files that it can read and descriptors out of its services, or name the program that
    /// takes its place. Only root and the supervisor's own user have this right, because they have the supervisor's rights anyhow.
    /// </summary>
    Own,
}

/// <summary>Who is at the other end of a connection, as the kernel recorded it when it was made: SO_PEERCRED, unix(7).</summary>
/// <param name="Uid">In the supervisor's user namespace.</param>
/// <param name="IsOwner">Root, or the supervisor's own user.</param>
/// <param name="Pid">Used only to tell which process has many connections; 0 in a foreign pid namespace.</param>
internal readonly record struct ControlPeer(uint Uid, bool IsOwner, int Pid = 0)
{
    /// <summary>The peer of a connection. Null: the kernel does not tell it, so the connection is refused.</summary>
    public static ControlPeer? Of(FileDescriptor connection) => PeerCredentials.TryRead(connection, out PeerCredentials peer, out _)
        ? new ControlPeer(peer.Uid, peer.Uid == 0 || peer.Uid == Libc.geteuid(), peer.Pid) : null;

    /// <summary>
    /// Whether the peer has a right. Everybody whom the mode of the socket's path lets in (control_mode,
    /// control_user, control_group) may look and order.
    /// </summary>
    public bool May(ControlRight right) => IsOwner || right <= ControlRight.Order;
}

/// <summary>The right that each control method needs; docs/protocol.md shows the table.</summary>
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
        [ControlNames.Interface + ".Attach"] = ControlRight.Look,
        [ControlNames.Interface + ".Start"] = ControlRight.Order,
        [ControlNames.Interface + ".Stop"] = ControlRight.Order,
        [ControlNames.Interface + ".Restart"] = ControlRight.Order,
        [ControlNames.Interface + ".Scale"] = ControlRight.Order,
        [ControlNames.Interface + ".Signal"] = ControlRight.Order,
        [ControlNames.Interface + ".ReloadService"] = ControlRight.Order,
        [ControlNames.Interface + ".Reload"] = ControlRight.Order,
        [ControlNames.Interface + ".Shutdown"] = ControlRight.Order,
        [ControlNames.Interface + ".Fetch"] = ControlRight.Own,
        [ControlNames.Interface + ".Upgrade"] = ControlRight.Own,
    };

    /// <summary>
    /// Needed for the parameter <c>file</c> of <c>Plan</c>, because the answer quotes the lines of the file that are wrong.
    /// </summary>
    public const ControlRight OtherFiles = ControlRight.Own;

    /// <summary>
    /// Needed for <c>Attach</c> without <c>read_only</c>: whoever types to a program has it do what its user may, and many programs
    /// take commands.
    /// </summary>
    public const ControlRight Typing = ControlRight.Own;

    /// <summary>Needed to be told the faulty lines of the configuration by <c>Reload</c> and <c>Plan</c>.</summary>
    public const ControlRight TextOfFiles = ControlRight.Own;

    /// <summary>The right that a method needs; null: there is no such method.</summary>
    public static ControlRight? Of(string method) => Needed.TryGetValue(method, out ControlRight right) ? right : null;

    /// <summary>The sentence for a peer that may not call a method.</summary>
    public static string RefusalOf(string method) => method == ControlNames.Interface + ".Upgrade"
        ? "only root and the supervisor's own user may upgrade it: the program that takes its place has all its rights"
        : Refusal("take descriptors");

    /// <summary>The sentence for a peer that lacks the right.</summary>
    public static string Refusal(string what) =>
        $"only root and the supervisor's own user may {what}: this shows what its rights let it read";
}
