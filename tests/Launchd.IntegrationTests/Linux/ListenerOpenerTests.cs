using System.Net;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Calls;
using Launchd.Linux.Listening;
using Launchd.Linux.Paths;
using Launchd.Linux.Sockets;
using Xunit;
using static Tmds.Linux.LibC;
using SocketAddress = Launchd.Linux.Sockets.SocketAddress;

namespace Launchd.IntegrationTests.Linux;

/// <summary>
/// Beside no test that starts processes: a child has copies of everything until it executes its program, so a listener that was closed
/// here is not dead, and another process holds one that is open here.
/// </summary>
[Collection(nameof(Host.Supervisors))]
public sealed class ListenerOpenerTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    private static ListenerRequest Request(params ListenAddress[] endpoints) => new() { Endpoints = [.. endpoints] };

    private static ListenAddress.Tcp Tcp(int port = 0) => new(IPAddress.Loopback, port);

    private static ListenAddress.Unix Unix(string path, UnixSocketKind kind = UnixSocketKind.Stream) =>
        new(kind, path, IsAbstract: false);

    private static int PortOf(OpenedListener listener) => int.Parse(listener.Address.AsSpan(listener.Address.LastIndexOf(':') + 1));

    private static int OpenCount() => Directory.GetFiles("/proc/self/fd").Length;

    [Fact]
    public void TcpIsBoundWithTheKernelsPort_CloseOnExec_NonBlocking_AndAccepts()
    {
        OpenedListener listener = ListenerOpener.Open(Request(Tcp())).Value.Listeners[0];
        using FileDescriptor held = listener.Descriptor;

        Assert.StartsWith("tcp://127.0.0.1:", listener.Address);
        Assert.Equal(FD_CLOEXEC, fcntl(held.Number, F_GETFD));
        Assert.NotEqual(0, fcntl(held.Number, F_GETFL) & O_NONBLOCK);
        Assert.Null(UnixSocket.Accept(held, out Errno refused));
        Assert.Equal(Errno.EAGAIN, refused);
        Assert.Equal((0, 4096), ListenerState.ReadQueue(held));

        using FileDescriptor client = Connector.Connect(new ListenAddress.Tcp(IPAddress.Loopback, PortOf(listener)),
            TimeSpan.FromSeconds(10)).Value;
        Assert.Equal(0, fcntl(client.Number, F_GETFL) & O_NONBLOCK);
        Assert.Equal((1, 4096), ListenerState.ReadQueue(held));
        using FileDescriptor? accepted = UnixSocket.Accept(held, out _);
        Assert.NotNull(accepted);
        DescriptorState state = ListenerState.Read(held);
        Assert.Equal("tcp-listener", state.Kind);
        Assert.Equal(listener.Address["tcp://".Length..], state.Address);
        Assert.Equal(["non-blocking", "listening"], state.Flags);
    }

    [Fact]
    public void APortInUseNamesItsHolder_AndLeavesNothingOpen()
    {
        using FileDescriptor held = ListenerOpener.Open(Request(Tcp())).Value.Listeners[0].Descriptor;
        int port = SocketAddress.OfSocket(held)!.Port;
        string path = _directory["made/first.sock"];

        // The Unix socket is opened first, and has to go again with the directory made for it.
        OpenFailure? failure = ListenerOpener.Open(Request(Unix(path), Tcp(port))).Failure;

        Assert.Equal(Errno.EADDRINUSE, failure?.Errno);
        Assert.Equal($"cannot listen on tcp://127.0.0.1:{port}: Address already in use (held by this process itself)", failure!.ToString());
        Assert.False(File.Exists(path));
    }

    [Fact]
    public void ShardsShareThePortThatTheKernelPicked()
    {
        OpenedListeners opened = ListenerOpener.Open(Request(Tcp()) with { ShardCount = 3 }).Value;
        Assert.Equal([0, 1, 2], opened.Listeners.Select(listener => listener.ShardIndex));
        Assert.Single(opened.Listeners.Select(PortOf).Distinct());
        Assert.Equal(3, opened.Listeners.Select(listener => listener.Descriptor.Number).Distinct().Count());
        opened.Undo();
    }

    [Fact]
    public void AnyAddressServesBothFamilies()
    {
        OpenedListener listener = ListenerOpener.Open(Request(new ListenAddress.Tcp(IPAddress.IPv6Any, 0,
            DualStack: true))).Value.Listeners[0];
        using FileDescriptor held = listener.Descriptor;
        Assert.Matches(@"^tcp://(\*|0\.0\.0\.0):\d+$", listener.Address);
        using FileDescriptor v4 = Connector.Connect(new ListenAddress.Tcp(IPAddress.Loopback, PortOf(listener)),
            TimeSpan.FromSeconds(10)).Value;
        Assert.NotNull(UnixSocket.Accept(held, out _));
    }

    [Fact]
    public void OptionsAreOnTheSocket()
    {
        var settings = new SocketOptions
        {
            NoDelay = true, KeepAlive = new(TimeSpan.FromSeconds(30), TimeSpan.FromMilliseconds(4500), 3),
                DeferAccept = TimeSpan.FromSeconds(1),
            TypeOfService = 0x10, TimeToLive = 7, Priority = 3, ReceiveBufferBytes = 65536, FreeBind = true, NonBlocking = false,
        };
        using FileDescriptor held = ListenerOpener.Open(Request(Tcp()) with { Options = settings }).Value.Listeners[0].Descriptor;

        Assert.Equal(1, Option(held, IPPROTO_TCP, TCP_NODELAY));
        Assert.Equal(1, Option(held, SOL_SOCKET, SO_KEEPALIVE));
        Assert.Equal(30, Option(held, IPPROTO_TCP, TCP_KEEPIDLE));
        Assert.Equal(5, Option(held, IPPROTO_TCP, TCP_KEEPINTVL));
        Assert.Equal(3, Option(held, IPPROTO_TCP, TCP_KEEPCNT));
        Assert.True(Option(held, IPPROTO_TCP, TCP_DEFER_ACCEPT) >= 1);
        Assert.Equal(0x10, Option(held, IPPROTO_IP, IP_TOS));
        Assert.Equal(7, Option(held, IPPROTO_IP, IP_TTL));
        Assert.Equal(3, Option(held, SOL_SOCKET, SO_PRIORITY));
        Assert.Equal(131072, Option(held, SOL_SOCKET, SO_RCVBUF));
        Assert.Equal(1, Option(held, IPPROTO_IP, IP_FREEBIND));
        Assert.Equal(0, fcntl(held.Number, F_GETFL) & O_NONBLOCK);
    }

    [Theory]
    [InlineData("lcs-none", null, "cannot set bind_to_device = 'lcs-none' on tcp://127.0.0.1:0: No such device")]
    [InlineData(null, "lcs-none", "cannot set congestion = 'lcs-none' on tcp://127.0.0.1:0: No such file or directory (available: ")]
    public void ARefusedOptionNamesItself(string? device, string? congestion, string sentence)
    {
        OpenFailure? failure = ListenerOpener.Open(Request(Tcp()) with { Options = new() { BindToDevice = device,
            Congestion = congestion } }).Failure;
        Assert.StartsWith(sentence, failure?.ToString());
    }

    [Fact]
    public void AnAddressOfNoInterfaceNamesTheRemedy()
    {
        OpenFailure? failure = ListenerOpener.Open(Request(new ListenAddress.Tcp(IPAddress.Parse("192.0.2.1"), 0))).Failure;
        Assert.Contains("free_bind", failure?.ToString());
    }

    [Fact]
    public void UdpReceives()
    {
        OpenedListener listener = ListenerOpener.Open(Request(new ListenAddress.Udp(IPAddress.Loopback, 0))).Value.Listeners[0];
        using FileDescriptor held = listener.Descriptor;
        using FileDescriptor client = Connector.Connect(new ListenAddress.Udp(IPAddress.Loopback, PortOf(listener)),
            TimeSpan.FromSeconds(10)).Value;
        Assert.Equal(SendOutcome.Sent, UnixSocket.Send(client, "hello"u8).Outcome);
        Assert.Equal(5, UnixSocket.Receive(held, new byte[16]).Length);
        Assert.Equal("udp-socket", ListenerState.Read(held).Kind);
    }

    [Theory]
    [InlineData((int)UnixSocketKind.Stream, "unix-listener")]
    [InlineData((int)UnixSocketKind.SeqPacket, "unix-listener")]
    [InlineData((int)UnixSocketKind.Datagram, "unix-datagram")]
    public void UnixPathsHaveTheirExactModeWhateverTheUmask_AndGoWhenOurs(int kind, string stateKind)
    {
        string path = _directory["new/parent/a.sock"];
        OpenedListener listener = ListenerOpener.Open(Request(Unix(path, (UnixSocketKind)kind)) with { Mode = 0b110_110_010,
            DirectoryMode = 0b111_111_101 })
            .Value.Listeners[0];

        Assert.Equal(0b110_110_010, ModeOf(path));
        Assert.Equal(0b111_111_101, ModeOf(_directory["new/parent"]));
        Assert.Equal((stateKind, path), (ListenerState.Read(listener.Descriptor).Kind, ListenerState.Read(listener.Descriptor).Address));
        Assert.Equal(RemoveOutcome.Removed, UnixPath.RemoveIfOurs(listener.Path!, out _));
        Assert.Equal(RemoveOutcome.AlreadyGone, UnixPath.RemoveIfOurs(listener.Path!, out _));
        listener.Descriptor.Dispose();
    }

    [Fact]
    public void ADeadSocketIsReplaced_ALiveOneIsNot_AndOnlyOurOwnIsRemoved()
    {
        string path = _directory["s.sock"];
        OpenedListener dead = ListenerOpener.Open(Request(Unix(path))).Value.Listeners[0];
        dead.Descriptor.Dispose();
        OpenedListener live = ListenerOpener.Open(Request(Unix(path))).Value.Listeners[0];

        OpenFailure? failure = ListenerOpener.Open(Request(Unix(path))).Failure;
        Assert.Equal($"cannot listen on unix:{path}: Address already in use (held by this process itself)", failure?.ToString());
        // Of another kind it is as alive.
        Assert.Equal(Errno.EADDRINUSE, ListenerOpener.Open(Request(Unix(path, UnixSocketKind.Datagram))).Failure?.Errno);

        File.Delete(path);
        File.WriteAllText(path, "foreign");
        Assert.Equal(RemoveOutcome.NotOurs, UnixPath.RemoveIfOurs(live.Path!, out _));
        Assert.Contains("a regular file is in the way", ListenerOpener.Open(Request(Unix(path))).Failure?.ToString());
        Assert.Equal("foreign", File.ReadAllText(path));
        live.Descriptor.Dispose();
    }

    [Fact]
    public void ASymlinkInTheLastComponentIsNotFollowed()
    {
        string path = _directory["link.sock"];
        File.CreateSymbolicLink(path, _directory["elsewhere.sock"]);
        Assert.Contains("a symbolic link is in the way", ListenerOpener.Open(Request(Unix(path))).Failure?.ToString());
        Assert.False(File.Exists(_directory["elsewhere.sock"]));
    }

    [Fact]
    public void APathLongerThanAnAddressIsServed()
    {
        string path = _directory[string.Join('/', Enumerable.Repeat("a-rather-long-directory-name", 6)) + "/s.sock"];
        Assert.True(path.Length > SocketAddress.LongestUnixPathBytes);
        OpenedListener listener = ListenerOpener.Open(Request(Unix(path))).Value.Listeners[0];
        using FileDescriptor client = Connector.Connect(new ListenAddress.Unix(UnixSocketKind.Stream, path, false),
            TimeSpan.FromSeconds(10)).Value;
        using FileDescriptor? accepted = UnixSocket.Accept(listener.Descriptor, out _);
        Assert.True(PeerCredentials.TryRead(accepted!, out PeerCredentials peer, out _));
        Assert.Equal(Environment.ProcessId, peer.Pid);
        Assert.Contains("a socket", ListenerOpener.Open(Request(new ListenAddress.Fifo(path))).Failure?.ToString());
        ListenerOpener.Undo(listener);
        Assert.False(File.Exists(path));
    }

    [Fact]
    public void AliasesAreMade_ReplacedWhenDangling_AndGoWithTheListener()
    {
        string path = _directory["s.sock"], alias = _directory["alias"], dangling = _directory["dangling"], file = _directory["file"];
        File.CreateSymbolicLink(dangling, _directory["nowhere"]);
        File.WriteAllText(file, "");
        ListenerRequest request = Request(Unix(path)) with { Aliases = [alias, dangling] };

        OpenFailure? failure = ListenerOpener.Open(request with { Aliases = [alias, file] }).Failure;
        Assert.Contains("not a symbolic link", failure?.ToString());
        Assert.Null(new FileInfo(alias).LinkTarget);
        Assert.False(File.Exists(path));

        OpenedListeners opened = ListenerOpener.Open(request).Value;
        Assert.Equal((path, path), (new FileInfo(alias).LinkTarget, new FileInfo(dangling).LinkTarget));
        opened.Undo();
        Assert.Equal([file], Directory.GetFileSystemEntries(_directory.Path));
    }

    [Fact]
    public void AnAbstractNameInUseNamesItsHolder()
    {
        var endpoint = new ListenAddress.Unix(UnixSocketKind.Stream, $"lcs-{Guid.NewGuid():N}", IsAbstract: true);
        using FileDescriptor held = ListenerOpener.Open(Request(endpoint)).Value.Listeners[0].Descriptor;
        Assert.Equal("@" + endpoint.Name, ListenerState.Read(held).Address);
        Assert.EndsWith("Address already in use (held by this process itself)", ListenerOpener.Open(Request(endpoint)).Failure?.ToString());
    }

    [Fact]
    public void UnixQueuesAreCounted()
    {
        OpenedListener listener = ListenerOpener.Open(Request(Unix(_directory["q"])) with { BacklogCount = 9 }).Value.Listeners[0];
        using FileDescriptor held = listener.Descriptor;
        using FileDescriptor client = Connector.Connect(new ListenAddress.Unix(UnixSocketKind.Stream, _directory["q"], false),
            TimeSpan.FromSeconds(10)).Value;
        (int, int)? queue = ListenerState.ReadQueue(held);
        Assert.True(queue is null || queue == (1, 9), $"{queue}");
    }

    [Fact]
    public void AConnectToAFullQueueTimesOut()
    {
        OpenedListener listener = ListenerOpener.Open(Request(Unix(_directory["f"])) with { BacklogCount = 0 }).Value.Listeners[0];
        using FileDescriptor held = listener.Descriptor;
        var target = new ListenAddress.Unix(UnixSocketKind.Stream, _directory["f"], false);
        using FileDescriptor first = Connector.Connect(target, TimeSpan.FromSeconds(10)).Value;
        OpenFailure? failure = Connector.Connect(target, TimeSpan.FromMilliseconds(20)).Failure;
        Assert.Equal($"cannot connect to unix:{_directory["f"]}: Connection timed out (within 0.02 s)", failure?.ToString());
    }

    // F11: a holder shuts the listener down for all.
    [Fact]
    public void AListenerThatWasShutDownIsSeen()
    {
        using FileDescriptor tcp = ListenerOpener.Open(Request(Tcp())).Value.Listeners[0].Descriptor;
        using FileDescriptor unix = ListenerOpener.Open(Request(Unix(_directory["d"]))).Value.Listeners[0].Descriptor;
        Assert.True(ListenerState.IsAlive(tcp));
        Assert.True(ListenerState.IsAlive(unix));
        Assert.False(ListenerState.IsFiltered(tcp));
        Assert.Equal(0, shutdown(tcp.Number, SHUT_RD));
        Assert.Equal(0, shutdown(unix.Number, SHUT_RD));
        Assert.False(ListenerState.IsAlive(tcp));
        Assert.False(ListenerState.IsAlive(unix));
        Assert.Contains("dead", ListenerState.Read(unix).Flags);
    }

    [Fact]
    public void AFifoNeverEnds_AndOneThatExistsMustMatch()
    {
        string path = _directory["pipe"];
        var endpoint = new ListenAddress.Fifo(path);
        OpenedListener fifo = ListenerOpener.Open(Request(endpoint) with { Mode = 0b110_010_000 }).Value.Listeners[0];
        Assert.Equal(0b110_010_000, ModeOf(path));
        File.OpenHandle(path, FileMode.Open, System.IO.FileAccess.Write).Dispose();
        Assert.Equal("fifo", ListenerState.Read(fifo.Descriptor).Kind);
        unsafe
        {
            byte one;
            Assert.Equal(-1, Launchd.Interop.Libc.read(fifo.Descriptor.Number, &one, 1));
            Assert.Equal(Errno.EAGAIN, Errno.Last);
        }

        OpenedListener again = ListenerOpener.Open(Request(endpoint) with { Mode = 0b110_010_000 }).Value.Listeners[0];
        Assert.Null(again.Path);
        again.Descriptor.Dispose();
        Assert.Contains("has mode 0620 instead of 0666", ListenerOpener.Open(Request(endpoint)).Failure?.ToString());
        ListenerOpener.Undo(fifo);
        Assert.False(File.Exists(path));
    }

    [FactWhenRoot]
    public void TheOwnerIsSet()
    {
        var owner = new PathOwner(4242, 4343);
        OpenedListeners opened = ListenerOpener.Open(Request(Unix(_directory["s"]),
            new ListenAddress.Fifo(_directory["f"])) with { Owner = owner }).Value;
        foreach (string name in new[] { "s", "f" })
        {
            Assert.Equal(Errno.None, FileStatus.ReadFollow(_directory[name], out FileStatus status));
            Assert.Equal((4242u, 4343u, 0b110_110_110), (status.Uid, status.Gid, status.Mode));
        }
        opened.Undo();
        Assert.Empty(Directory.GetFileSystemEntries(_directory.Path));
    }

    [Fact]
    public void AMessageQueueIsMadeAndRemoved_OrRefusedInWords()
    {
        var endpoint = new ListenAddress.MessageQueue($"/lcs-{Guid.NewGuid():N}");
        OpenResult<OpenedListeners> opened = ListenerOpener.Open(Request(endpoint));
        if (opened.Failure is { } failure)
        {
            Assert.Equal($"cannot open {endpoint}: Function not implemented (this kernel has no message queues)", failure.ToString());
            return;
        }
        OpenedListener queue = opened.Value.Listeners[0];
        Assert.Equal(RemoveOutcome.Removed, UnixPath.RemoveIfOurs(queue.Path!, out _));
        Assert.Equal(RemoveOutcome.AlreadyGone, UnixPath.RemoveIfOurs(queue.Path!, out _));
        queue.Descriptor.Dispose();
    }

    [Fact]
    public void NetlinkAndSpecialFilesOpen()
    {
        const int route = 0;
        OpenedListeners opened = ListenerOpener.Open(Request(
            new ListenAddress.Netlink("route", route, 1), new ListenAddress.Special("/dev/zero"),
                new ListenAddress.Special("/proc/uptime"))).Value;
        Assert.Equal(["netlink", "device", "file"], opened.Listeners.Select(listener => ListenerState.Read(listener.Descriptor).Kind));
        opened.Undo();
        File.WriteAllText(_directory["plain"], "");
        Assert.Contains("a regular file, not a character device",
            ListenerOpener.Open(Request(new ListenAddress.Special(_directory["plain"]))).Failure?.ToString());
    }

    [Fact]
    public void VsockOpens_OrIsRefusedInWords()
    {
        OpenResult<OpenedListeners> opened = ListenerOpener.Open(Request(new ListenAddress.Vsock(null, uint.MaxValue)));
        if (opened.Failure is { } failure)
        {
            Assert.Contains("vsock", failure.ToString());
            return;
        }
        Assert.Matches(@"^vsock://\*:\d+$", opened.Value.Listeners[0].Address);
        opened.Value.Undo();
    }

    [Fact]
    public void ManyFailuresLeaveNoDescriptorBehind()
    {
        using FileDescriptor held = ListenerOpener.Open(Request(Tcp())).Value.Listeners[0].Descriptor;
        ListenerRequest failing = Request(Unix(_directory["a"]), new ListenAddress.Fifo(_directory["b"]),
            Tcp(SocketAddress.OfSocket(held)!.Port));
        int before = OpenCount();
        for (int i = 0; i < 50; i++)
            Assert.NotNull(ListenerOpener.Open(failing).Failure);
        // Other tests of this process open and close as well; fifty leaks of three would stand out.
        Assert.InRange(OpenCount(), 0, before + 40);
        Assert.Empty(Directory.GetFileSystemEntries(_directory.Path));
    }

    private static int ModeOf(string path)
    {
        Assert.Equal(Errno.None, FileStatus.ReadFollow(path, out FileStatus status));
        return status.Mode;
    }

    private static unsafe int Option(FileDescriptor socket, int level, int option)
    {
        int value = -1;
        Tmds.Linux.socklen_t length = sizeof(int);
        Assert.Equal(0, getsockopt(socket.Number, level, option, &value, &length));
        return value;
    }
}
