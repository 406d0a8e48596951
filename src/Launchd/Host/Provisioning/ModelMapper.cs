using Launchd.Linux.Listening;
using Launchd.Linux.Paths;
using Launchd.Linux.Sockets;
using Launchd.Model;

namespace Launchd.Host.Provisioning;

/// <summary>From definitions to what the Linux floor takes: that floor knows no model.</summary>
internal static class ModelMapper
{
    public static ListenerRequest ToRequest(ListenerDefinition listener, bool isAcceptedFrom, PathOwner owner) => new()
    {
        Endpoints = [.. listener.Addresses.Select(ToEndpoint)],
        BacklogCount = listener.BacklogCount,
        Mode = listener.Mode,
        Owner = owner,
        DirectoryMode = listener.DirectoryMode,
        Aliases = listener.Symlinks,
        ShardCount = listener.ShardCount,
        Settings = ToSettings(listener.Options) with { NonBlocking = listener.Options.NonBlocking || isAcceptedFrom },
    };

    public static FileRequest ToRequest(FileDefinition.Opened file, PathOwner owner) => new()
    {
        Path = file.FilePath,
        Access = file.Access switch
        {
            Model.FileAccess.Read => OpenAccess.Read,
            Model.FileAccess.Write => OpenAccess.Write,
            Model.FileAccess.Append => OpenAccess.Append,
            _ => OpenAccess.ReadWrite,
        },
        CreateMode = file.CreateMode,
        Truncate = file.Truncate,
        Owner = owner,
    };

    public static MemorySeals SealsOf(FileDefinition.Memory memory) =>
        (memory.SealShrink ? MemorySeals.Shrink : 0) | (memory.SealGrow ? MemorySeals.Grow : 0) | (memory.SealWrite ? MemorySeals.Write : 0);

    public static ListenerEndpoint ToEndpoint(ListenAddress address) => address switch
    {
        ListenAddress.Tcp tcp => new ListenerEndpoint.Tcp(tcp.Host, tcp.Port, tcp.DualStack),
        ListenAddress.Udp udp => new ListenerEndpoint.Udp(udp.Host, udp.Port, udp.DualStack),
        ListenAddress.Unix unix => new ListenerEndpoint.Unix((UnixSocketKind)unix.Kind, unix.Name, unix.IsAbstract),
        ListenAddress.Vsock vsock => new ListenerEndpoint.Vsock(vsock.Cid, vsock.Port),
        ListenAddress.Fifo fifo => new ListenerEndpoint.Fifo(fifo.FifoPath),
        ListenAddress.Netlink netlink => new ListenerEndpoint.Netlink(netlink.FamilyName, netlink.Family, netlink.Group),
        ListenAddress.MessageQueue queue => new ListenerEndpoint.MessageQueue(queue.Name),
        ListenAddress.Special special => new ListenerEndpoint.Special(special.SpecialPath),
        _ => throw new System.Diagnostics.UnreachableException(),
    };

    private static SocketSettings ToSettings(SocketOptions options) => new()
    {
        Ipv6Only = options.Ipv6Only,
        FreeBind = options.FreeBind,
        Transparent = options.Transparent,
        BindToDevice = options.BindToDevice,
        Mark = options.Mark,
        Priority = options.Priority,
        TypeOfService = options.TypeOfService,
        TimeToLive = options.TimeToLive,
        Congestion = options.Congestion,
        NoDelay = options.NoDelay,
        KeepAlive = options.KeepAlive is { } keep ? new KeepAliveSettings(keep.Idle, keep.Interval, keep.ProbeCount) : null,
        DeferAccept = options.DeferAccept,
        FastOpenCount = options.FastOpenCount,
        ReceiveBufferBytes = options.ReceiveBufferBytes,
        SendBufferBytes = options.SendBufferBytes,
        PassCredentials = options.PassCredentials,
        PassPidfd = options.PassPidfd,
        PassRights = options.PassRights,
        NonBlocking = options.NonBlocking,
    };
}
