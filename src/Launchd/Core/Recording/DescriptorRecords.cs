using System.Net;
using Launchd.Addresses;
using Launchd.Model;
using static Launchd.Core.Recording.Values;
using FileAccess = Launchd.Model.FileAccess;

namespace Launchd.Core.Recording;

/// <summary>How what the configuration opens is written: listeners and files.</summary>
internal static class DescriptorRecords
{
    public static readonly Codec<ListenAddress> ListenAddresses = new Family<ListenAddress>("a kind of address")
        .With(1, new Layout<ListenAddress.Tcp>("a TCP address", new(IPAddress.Any, 0), a => IsPort(a.Port))
            .With(1, Address, a => a.Host, (a, v) => a with { Host = v })
            .With(2, Int, a => a.Port, (a, v) => a with { Port = v })
            .With(3, Bool, a => a.DualStack, (a, v) => a with { DualStack = v }))
        .With(2, new Layout<ListenAddress.Udp>("a UDP address", new(IPAddress.Any, 0), a => IsPort(a.Port))
            .With(1, Address, a => a.Host, (a, v) => a with { Host = v })
            .With(2, Int, a => a.Port, (a, v) => a with { Port = v })
            .With(3, Bool, a => a.DualStack, (a, v) => a with { DualStack = v }))
        .With(3, new Layout<ListenAddress.Unix>("a Unix address", new(UnixSocketKind.Stream, "", IsAbstract: false))
            .With(1, Enum<UnixSocketKind>(), a => a.Kind, (a, v) => a with { Kind = v })
            .With(2, Text, a => a.Name, (a, v) => a with { Name = v })
            .With(3, Bool, a => a.IsAbstract, (a, v) => a with { IsAbstract = v }))
        .With(4, new Layout<ListenAddress.Vsock>("a vsock address", new(Cid: null, 0))
            .With(1, OrNull(UInt), a => a.Cid, (a, v) => a with { Cid = v })
            .With(2, UInt, a => a.Port, (a, v) => a with { Port = v }))
        .With(5, new Layout<ListenAddress.Fifo>("a FIFO", new(""))
            .With(1, Text, a => a.FifoPath, (a, v) => a with { FifoPath = v }))
        .With(6, new Layout<ListenAddress.Netlink>("a netlink address", new("", 0, 0))
            .With(1, Text, a => a.FamilyName, (a, v) => a with { FamilyName = v })
            .With(2, Int, a => a.Family, (a, v) => a with { Family = v })
            .With(3, UInt, a => a.GroupMask, (a, v) => a with { GroupMask = v }))
        .With(7, new Layout<ListenAddress.MessageQueue>("a message queue", new(""))
            .With(1, Text, a => a.Name, (a, v) => a with { Name = v }))
        .With(8, new Layout<ListenAddress.Special>("a special file", new(""))
            .With(1, Text, a => a.SpecialPath, (a, v) => a with { SpecialPath = v }))
        .With(9, new Layout<ListenAddress.Inherited>("an inherited socket", new("", 0))
            .With(1, Text, a => a.Name, (a, v) => a with { Name = v })
            .With(2, Int, a => a.Number, (a, v) => a with { Number = v }));

    public static readonly Codec<RateLimit> RateLimits = new Layout<RateLimit>("a rate limit", RateLimit.Unlimited, l => l.Burst >= 0)
        .With(1, Int, l => l.Burst, (l, v) => l with { Burst = v })
        .With(2, Span, l => l.Interval, (l, v) => l with { Interval = v });

    private static readonly Codec<KeepAlive> KeepAlives = new Layout<KeepAlive>("a keep-alive", new(null, null, null))
        .With(1, OrNull(Span), k => k.Idle, (k, v) => k with { Idle = v })
        .With(2, OrNull(Span), k => k.Interval, (k, v) => k with { Interval = v })
        .With(3, OrNull(Int), k => k.ProbeCount, (k, v) => k with { ProbeCount = v });

    private static readonly Codec<SocketOptions> Options = new Layout<SocketOptions>("options of a socket", SocketOptions.Default)
        .With(1, OrNull(Bool), o => o.Ipv6Only, (o, v) => o with { Ipv6Only = v })
        .With(2, Bool, o => o.FreeBind, (o, v) => o with { FreeBind = v })
        .With(3, Bool, o => o.Transparent, (o, v) => o with { Transparent = v })
        .With(4, TextOrNull, o => o.BindToDevice, (o, v) => o with { BindToDevice = v })
        .With(5, OrNull(Int), o => o.Mark, (o, v) => o with { Mark = v })
        .With(6, OrNull(Int), o => o.Priority, (o, v) => o with { Priority = v })
        .With(7, OrNull(Int), o => o.TypeOfService, (o, v) => o with { TypeOfService = v })
        .With(8, OrNull(Int), o => o.TimeToLive, (o, v) => o with { TimeToLive = v })
        .With(9, TextOrNull, o => o.Congestion, (o, v) => o with { Congestion = v })
        .With(10, Bool, o => o.NoDelay, (o, v) => o with { NoDelay = v })
        .With(11, OrNone(KeepAlives), o => o.KeepAlive, (o, v) => o with { KeepAlive = v })
        .With(12, OrNull(Span), o => o.DeferAccept, (o, v) => o with { DeferAccept = v })
        .With(13, Int, o => o.FastOpenCount, (o, v) => o with { FastOpenCount = v })
        .With(14, OrNull(Long), o => o.ReceiveBufferBytes, (o, v) => o with { ReceiveBufferBytes = v })
        .With(15, OrNull(Long), o => o.SendBufferBytes, (o, v) => o with { SendBufferBytes = v })
        .With(16, Bool, o => o.PassCredentials, (o, v) => o with { PassCredentials = v })
        .With(17, Bool, o => o.PassPidfd, (o, v) => o with { PassPidfd = v })
        .With(18, Bool, o => o.PassRights, (o, v) => o with { PassRights = v })
        .With(19, Bool, o => o.NonBlocking, (o, v) => o with { NonBlocking = v });

    public static readonly Codec<ListenerDefinition> Listeners = new Layout<ListenerDefinition>(
        "a listener", new() { Key = "", Name = "", Addresses = [] }, l => l.Key.Length > 0)
        .With(1, Text, l => l.Key, (l, v) => l with { Key = v })
        .With(2, Text, l => l.Name, (l, v) => l with { Name = v })
        .With(3, List(ListenAddresses), l => l.Addresses, (l, v) => l with { Addresses = v })
        .With(4, Int, l => l.BacklogCount, (l, v) => l with { BacklogCount = v })
        .With(5, Int, l => l.Mode, (l, v) => l with { Mode = v })
        .With(6, TextOrNull, l => l.User, (l, v) => l with { User = v })
        .With(7, TextOrNull, l => l.Group, (l, v) => l with { Group = v })
        .With(8, Int, l => l.DirectoryMode, (l, v) => l with { DirectoryMode = v })
        .With(9, List(Text), l => l.Symlinks, (l, v) => l with { Symlinks = v })
        .With(10, Bool, l => l.RemoveOnStop, (l, v) => l with { RemoveOnStop = v })
        .With(11, Bool, l => l.KeepOptions, (l, v) => l with { KeepOptions = v })
        .With(12, Bool, l => l.PinPath, (l, v) => l with { PinPath = v })
        .With(13, Int, l => l.ShardCount, (l, v) => l with { ShardCount = v })
        .With(14, Options, l => l.Options, (l, v) => l with { Options = v })
        .With(15, OrNone(RateLimits), l => l.TriggerLimit, (l, v) => l with { TriggerLimit = v })
        .With(16, Int, l => l.MaxConnectionCount, (l, v) => l with { MaxConnectionCount = v })
        .With(17, Int, l => l.MaxConnectionsPerSourceCount, (l, v) => l with { MaxConnectionsPerSourceCount = v });

    public static readonly Codec<FileDefinition> Files = new Family<FileDefinition>("a kind of file")
        .With(1, new Layout<FileDefinition.Opened>("a file", new() { Key = "", FilePath = "" }, f => f.Key.Length > 0)
            .With(1, Text, f => f.Key, (f, v) => f with { Key = v })
            .With(2, Text, f => f.FilePath, (f, v) => f with { FilePath = v })
            .With(3, Enum<FileAccess>(), f => f.Access, (f, v) => f with { Access = v })
            .With(4, OrNull(Int), f => f.CreateMode, (f, v) => f with { CreateMode = v })
            .With(5, Bool, f => f.Truncate, (f, v) => f with { Truncate = v })
            .With(6, TextOrNull, f => f.User, (f, v) => f with { User = v })
            .With(7, TextOrNull, f => f.Group, (f, v) => f with { Group = v })
            .With(8, Bool, f => f.Reopen, (f, v) => f with { Reopen = v }))
        .With(2, new Layout<FileDefinition.Directory>("a directory", new() { Key = "", DirectoryPath = "" }, f => f.Key.Length > 0)
            .With(1, Text, f => f.Key, (f, v) => f with { Key = v })
            .With(2, Text, f => f.DirectoryPath, (f, v) => f with { DirectoryPath = v }))
        .With(3, new Layout<FileDefinition.Memory>("a memory", new() { Key = "", SizeBytes = 0 }, f => f.Key.Length > 0)
            .With(1, Text, f => f.Key, (f, v) => f with { Key = v })
            .With(2, Long, f => f.SizeBytes, (f, v) => f with { SizeBytes = v })
            .With(3, Bool, f => f.SealShrink, (f, v) => f with { SealShrink = v })
            .With(4, Bool, f => f.SealGrow, (f, v) => f with { SealGrow = v })
            .With(5, Bool, f => f.SealWrite, (f, v) => f with { SealWrite = v }))
        .With(4, new Layout<FileDefinition.Connected>("a connection", new() { Key = "", Target = null! },
            f => f.Key.Length > 0 && f.Target is not null)
            .With(1, Text, f => f.Key, (f, v) => f with { Key = v })
            .With(2, ListenAddresses, f => f.Target, (f, v) => f with { Target = v }));

    private static bool IsPort(int port) => port is >= 0 and <= 65_535;
}
