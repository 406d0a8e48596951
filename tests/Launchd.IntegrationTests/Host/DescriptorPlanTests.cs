using System.Net;
using System.Net.Sockets;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.Config.Loading;
using Launchd.Config.Sources;
using Launchd.Host.Listeners;
using Launchd.Host.Provisioning;
using Launchd.Host.Reloading;
using Launchd.IntegrationTests.Support;
using Launchd.Interop;
using Launchd.Linux.Listening;
using Launchd.Linux.Processes;
using Launchd.Linux.Sockets;
using Launchd.Model;
using Xunit;
using static Tmds.Linux.LibC;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// What happens to open descriptors when another configuration comes: on the real kernel, without a supervisor around
/// it. Beside no test that starts processes: a child has copies of everything until it executes its program, and a
/// listener of which there is a copy is not closed.
/// </summary>
[Collection(nameof(Supervisors))]
public sealed partial class DescriptorPlanTests : IDisposable
{
    private readonly TemporaryDirectory _directory = new();
    private DescriptorTable? _table;
    private SupervisorDefinition? _definition;

    public void Dispose()
    {
        _table?.Dispose();
        _directory.Dispose();
    }

    [Fact]
    public void SettingsChangeOnTheVerySocketThatIsOpen()
    {
        DescriptorTable table = Open("[sockets.a]\nlisten = \"tcp://127.0.0.1:0\"\n[sockets.b]\nlisten = \"unix:b\"\nmode = \"0600\"");
        FileDescriptor a = One(table, "a").Descriptor, b = One(table, "b").Descriptor;
        string address = One(table, "a").Address;

        Assert.Null(Change("[sockets.a]\nlisten = \"tcp://127.0.0.1:0\"\nbacklog = 7\nno_delay = true\nkeep_alive = true\n"
            + "[sockets.b]\nlisten = \"unix:b\"\nmode = \"0640\"\nbacklog = 9"));

        Assert.Same(a, One(table, "a").Descriptor);
        Assert.Same(b, One(table, "b").Descriptor);
        Assert.Equal(address, One(table, "a").Address);
        Assert.Equal((0, 7), ListenerState.ReadQueue(a));
        Assert.Equal((0, 9), ListenerState.ReadQueue(b));
        Assert.Equal((1, 1), (Option(a, IPPROTO_TCP, TCP_NODELAY), Option(a, SOL_SOCKET, SO_KEEPALIVE)));
        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead, File.GetUnixFileMode(_directory["b"]));

        Assert.Null(Change("[sockets.a]\nlisten = \"tcp://127.0.0.1:0\"\n[sockets.b]\nlisten = \"unix:b\""));

        Assert.Equal((0, 0), (Option(a, IPPROTO_TCP, TCP_NODELAY), Option(a, SOL_SOCKET, SO_KEEPALIVE)));
        Assert.Equal((0, 4096), ListenerState.ReadQueue(a));
        Assert.Empty(table.Retired);
    }

    [Fact]
    public void NamesThatSwapTheirAddressesSwapTheirSockets()
    {
        int port = LoopbackPort.Free();
        DescriptorTable table =
            Open($"[sockets.a]\nlisten = \"unix:x\"\n[sockets.b]\nlisten = \"unix:y\"\n[sockets.c]\nlisten = \"tcp://127.0.0.1:{port}\"");
        FileDescriptor x = One(table, "a").Descriptor, y = One(table, "b").Descriptor, c = One(table, "c").Descriptor;

        Assert.Null(Change($"[sockets.a]\nlisten = \"unix:y\"\n[sockets.b]\nlisten = [\"unix:x\", \"tcp://127.0.0.1:{port}\"]"));

        Assert.Same(y, One(table, "a").Descriptor);
        Assert.Equal([x, c], table.FindSocket("b")!.Opened.Select(o => o.Descriptor));
        Assert.Empty(table.Retired);
    }

    [Fact]
    public void AnyPortIsKeptUnderItsName_AndMayBeWrittenDown()
    {
        DescriptorTable table = Open("[sockets.a]\nlisten = \"tcp://127.0.0.1:0\"\n[sockets.b]\nlisten = \"tcp://127.0.0.1:0\"");
        OpenedListener a = One(table, "a"), b = One(table, "b");

        Assert.Null(Change($"[sockets.b]\nlisten = \"{b.Address}\"\n"
            + "[sockets.new]\nlisten = \"tcp://127.0.0.1:0\"\n[sockets.a]\nlisten = \"tcp://127.0.0.1:0\""));

        Assert.Same(a.Descriptor, One(table, "a").Descriptor);
        Assert.Same(b.Descriptor, One(table, "b").Descriptor);
        Assert.DoesNotContain(One(table, "new").Address, (string[])[a.Address, b.Address]);
    }

    [Fact]
    public async Task AWiderAddressOfTheSamePortOpensBesideTheOldOne_AndNoClientIsRefused()
    {
        DescriptorTable table = Open("[sockets.a]\nlisten = \"tcp://127.0.0.1:0\"");
        int port = ListenerRepair.PortOf(One(table, "a"));

        Assert.Null(Change($"[sockets.a]\nlisten = \"tcp://0.0.0.0:{port}\""));

        using Socket before = await Client(port);
        Listener old = Assert.Single(table.TakeUnused());
        AssertAccepts(old.Descriptor);
        old.Close();
        using Socket after = await Client(port);
        AssertAccepts(One(table, "a").Descriptor);
    }

    [Fact]
    public async Task WhatNeedsANewSocketGetsOneAtTheSamePort_AndClientsAreLedToIt()
    {
        DescriptorTable table = Open("[sockets.a]\nlisten = \"tcp://127.0.0.1:0\"");
        OpenedListener old = One(table, "a");
        int port = ListenerRepair.PortOf(old);
        List<Socket> clients = [];
        for (int i = 0; i < 10; i++)
            clients.Add(await Client(port));

        Assert.Null(Change("[sockets.a]\nlisten = \"tcp://127.0.0.1:0\"\nnon_blocking = true"));

        OpenedListener next = One(table, "a");
        Assert.NotSame(old.Descriptor, next.Descriptor);
        Assert.Equal(old.Address, next.Address);
        for (int i = 0; i < 30; i++)
            clients.Add(await Client(port));
        Assert.Equal(10, ListenerState.ReadQueue(old.Descriptor)!.Value.QueueCount);
        Assert.Equal(30, ListenerState.ReadQueue(next.Descriptor)!.Value.QueueCount);
        Assert.NotEqual(0, fcntl(next.Descriptor.Number, F_GETFL) & O_NONBLOCK);
        Assert.Equal(0, fcntl(old.Descriptor.Number, F_GETFL) & O_NONBLOCK);
        Assert.Single(table.TakeUnused()).Close();
        clients.Add(await Client(port));
        Assert.Equal(31, ListenerState.ReadQueue(next.Descriptor)!.Value.QueueCount);
        clients.ForEach(c => c.Dispose());
    }

    [Fact]
    public void APathIsNeverWithoutASocket()
    {
        DescriptorTable table = Open("[sockets.a]\nlisten = \"unix:a\"");
        OpenedListener old = One(table, "a");

        Assert.Null(Change("[sockets.a]\nlisten = \"unix:a\"\nnon_blocking = true"));

        Assert.Equal(["a"], Directory.GetFileSystemEntries(_directory.Path).Select(Path.GetFileName));
        using Socket client = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        client.Connect(new UnixDomainSocketEndPoint(_directory["a"]));
        Assert.Equal(1, ListenerState.ReadQueue(One(table, "a").Descriptor)!.Value.QueueCount);
        Assert.Single(table.TakeUnused()).Close();
        Assert.True(File.Exists(_directory["a"]));
        Assert.True(old.Descriptor.IsClosed);
    }

    [Fact]
    public void ShardsComeAndGoBesideTheFirst()
    {
        int port = LoopbackPort.Free();
        DescriptorTable table = Open($"[sockets.a]\nlisten = \"tcp://127.0.0.1:{port}\"");
        FileDescriptor first = One(table, "a").Descriptor;

        Assert.Null(Change($"[sockets.a]\nlisten = \"tcp://127.0.0.1:{port}\"\nshards = 3"));

        Assert.Equal([0, 1, 2], table.FindSocket("a")!.Opened.Select(o => o.ShardIndex));
        Assert.Same(first, table.FindSocket("a")!.Opened[0].Descriptor);

        Assert.Null(Change($"[sockets.a]\nlisten = \"tcp://127.0.0.1:{port}\""));

        Assert.Same(first, One(table, "a").Descriptor);
        Assert.Equal(2, table.Retired.Count);
    }

    [Fact]
    public void AliasesFollow()
    {
        Open("[sockets.a]\nlisten = \"unix:a\"\nsymlinks = [\"one\", \"two\"]");

        Assert.Null(Change("[sockets.a]\nlisten = \"unix:a\"\nsymlinks = [\"two\", \"three\"]"));

        Assert.Equal(["a", "three", "two"], Directory.GetFileSystemEntries(_directory.Path).Select(Path.GetFileName).Order());
    }

    [Fact]
    public void ARefusalClosesWhatWasOpened_AndLeavesSettingsAsTheyWere()
    {
        using TcpListener taken = new(IPAddress.Loopback, 0);
        taken.Start();
        DescriptorTable table = Open("[sockets.a]\nlisten = \"tcp://127.0.0.1:0\"");
        OpenedListener a = One(table, "a");
        string? refused = Change(
            "[sockets.a]\nlisten = \"tcp://127.0.0.1:0\"\nbacklog = 7\n[sockets.b]\nlisten = \"unix:new/b\"\nsymlinks = [\"alias\"]\n"
            + $"[sockets.c]\nlisten = \"tcp://{taken.LocalEndpoint}\"");

        Assert.StartsWith($"sockets.c: cannot listen on tcp://{taken.LocalEndpoint}: ", refused, StringComparison.Ordinal);
        Assert.DoesNotContain(_directory["new/b"], File.ReadAllText("/proc/net/unix"), StringComparison.Ordinal);
        Assert.Empty(Directory.GetFileSystemEntries(_directory.Path));
        Assert.Equal((0, 4096), ListenerState.ReadQueue(a.Descriptor));
        Assert.Same(a.Descriptor, One(table, "a").Descriptor);
    }

    [Fact]
    public void ASwitchThatIsRefusedHalfWayTakesBackWhatItDid()
    {
        DescriptorTable table =
            Open("[sockets.a]\nlisten = \"tcp://127.0.0.1:0\"\n[sockets.b]\nlisten = \"unix:b\"\n[sockets.c]\nlisten = \"unix:c\"");
        OpenedListener a = One(table, "a"), b = One(table, "b");
        // Somebody took the path away: its mode cannot be changed.
        File.Delete(_directory["c"]);

        string? refused = Change(
            "[sockets.a]\nlisten = \"tcp://127.0.0.1:0\"\nbacklog = 7\n[sockets.b]\nlisten = \"unix:b\"\nnon_blocking = true\n"
            + "[sockets.c]\nlisten = \"unix:c\"\nmode = \"0600\"");

        Assert.StartsWith("sockets.c: cannot change mode and owner of ", refused, StringComparison.Ordinal);
        Assert.Equal((0, 4096), ListenerState.ReadQueue(a.Descriptor));
        Assert.Equal(["b"], Directory.GetFileSystemEntries(_directory.Path).Select(Path.GetFileName));
        using Socket client = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        client.Connect(new UnixDomainSocketEndPoint(_directory["b"]));
        Assert.Equal(1, ListenerState.ReadQueue(b.Descriptor)!.Value.QueueCount);
    }

    [Fact]
    public void FilesThatAreTheSameStayOpen()
    {
        File.WriteAllText(_directory["f"], "x");
        DescriptorTable table = Open("[files.f]\npath = \"f\"\n[files.m]\nmemory = \"4KiB\"\n[files.d]\ndirectory = \"/\"");
        FileDescriptor? f = Held("f"), m = Held("m"), d = Held("d");

        Assert.Null(Change("[files.f]\npath = \"f\"\nopen = \"append\"\n[files.m]\nmemory = \"4KiB\""));

        Assert.NotSame(f, Held("f"));
        Assert.Same(m, Held("m"));
        Assert.True(f!.IsClosed && d!.IsClosed && !m!.IsClosed);

        FileDescriptor? Held(string key) => table.Files.Single(f => f.Definition.Key == key).Descriptor;
    }

    [Theory]
    [InlineData("s", "s")]
    [InlineData("s", "renamed")]
    public void NoneOfMillionsOfPairsIsLookedAt(string before, string after)
    {
        const int Count = 200;
        string Sockets(string name) =>
            string.Concat(Enumerable.Range(0, Count).Select(i => $"[sockets.{name}{i}]\nlisten = \"unix:@{_directory["x"]}{i}\"\n"));
        DescriptorTable table = Open(Sockets(before) + "[files.m]\nmemory = \"4KiB\"");
        HashSet<FileDescriptor> open = [.. table.Sockets.SelectMany(s => s.Opened).Select(o => o.Descriptor)];
        SupervisorDefinition next = Define(Sockets(after) + "[files.m]\nmemory = \"4KiB\"");
        Counted<HeldSocket> sockets = new([.. table.Sockets]);
        Counted<HeldFile> files = new([.. table.Files]);

        DescriptorPlan plan = DescriptorPlan.Open(sockets, [], files, next, new UserTable(next), Nothing, out _)!;

        Assert.InRange(sockets.LookCount, Count, 4 * Count);
        Assert.InRange(files.LookCount, 1, 4);
        Assert.Null(plan.Commit(table, out _));
        Assert.Equal(open, table.Sockets.SelectMany(s => s.Opened).Select(o => o.Descriptor).ToHashSet());
        Assert.Equal(after + "7", table.Find(One(table, after + "7").Descriptor)!.Socket.Key);
    }

    [Fact]
    public void OfManyAtOneAddressEachIsTakenOnce()
    {
        string[] names = ["a", "b", "c", "d"];
        string Sockets(IEnumerable<string> of) => string.Concat(of.Select(n => $"[sockets.{n}]\nlisten = \"tcp://127.0.0.1:0\"\n"));
        DescriptorTable table = Open(Sockets(names));
        OpenedListener b = One(table, "b"), d = One(table, "d");
        HashSet<FileDescriptor> open = [.. names.Select(n => One(table, n).Descriptor)];

        Assert.Null(Change(Sockets(["x", "d", "y", "b"])));

        Assert.Same(b.Descriptor, One(table, "b").Descriptor);
        Assert.Same(d.Descriptor, One(table, "d").Descriptor);
        Assert.Equal(open, table.Sockets.SelectMany(s => s.Opened).Select(o => o.Descriptor).ToHashSet());
    }

    private static InheritedListeners Nothing => InheritedListeners.Take(ManagerOffer.None);

    private DescriptorTable Open(string text)
    {
        _definition = Define(text);
        return _table = DescriptorTable.Open(_definition, new UserTable(_definition), Nothing, _ => { });
    }

    /// <summary>Null: the other configuration holds; else why not.</summary>
    private string? Change(string text)
    {
        SupervisorDefinition next = Define(text);
        DescriptorPlan? plan = DescriptorPlan.Open(
            [.. _table!.Sockets], [.. _table.Retired], [.. _table.Files], next, new UserTable(next), Nothing, out string? refused);
        refused = plan is null ? refused : plan.Commit(_table, out _);
        _definition = refused is null ? next : _definition;
        return refused;
    }

    private SupervisorDefinition Define(string text)
    {
        ConfigResult read = ConfigReader.Read(new ConfigSource
        {
            FilePath = _directory["test.toml"],
            Environment = new Dictionary<string, string>(),
            UserId = Libc.geteuid(),
            Files = new OneFile(text),
        });
        Assert.True(read.Definition is not null, read.Print());
        return read.Definition;
    }

    private static OpenedListener One(DescriptorTable table, string key) => Assert.Single(table.FindSocket(key)!.Opened);

    // The listeners block: who came to another one would be waited for without end.
    private static void AssertAccepts(FileDescriptor listener)
    {
        Assert.NotEqual(0, Polling.Await(listener.Number, POLLIN, Deadline.Generous));
        using FileDescriptor? accepted = UnixSocket.Accept(listener, out _);
        Assert.NotNull(accepted);
    }

    private static async Task<Socket> Client(int port)
    {
        Socket client = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(IPAddress.Loopback, port);
        return client;
    }

    private static unsafe int Option(FileDescriptor socket, int level, int option)
    {
        int value = 0;
        Tmds.Linux.socklen_t length = sizeof(int);
        Assert.Equal(0, getsockopt(socket.Number, level, option, &value, &length));
        return value;
    }

    /// <summary>Counts how often one of its elements is looked at.</summary>
    private sealed class Counted<T>(T[] all) : IReadOnlyCollection<T>
    {
        public int LookCount { get; private set; }
        public int Count => all.Length;

        public IEnumerator<T> GetEnumerator()
        {
            foreach (T one in all)
            {
                LookCount++;
                yield return one;
            }
        }

        System.Collections.IEnumerator System.Collections.IEnumerable.GetEnumerator() => GetEnumerator();
    }

    /// <summary>One text for every path.</summary>
    private sealed class OneFile(string text) : IConfigFiles
    {
        public ConfigFileContent Read(string absolutePath, int mostBytes) => new(System.Text.Encoding.UTF8.GetBytes(text), null);

        public IReadOnlyList<string> List(string absolutePattern) => [];

        public string? FindDistrust(string absolutePath) => null;
    }
}
