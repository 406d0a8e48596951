using System.Net.Sockets;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Launchd.Client.Tests.Support;
using Xunit;

namespace Launchd.Client.Tests;

/// <summary>
/// Notifications as a supervisor of systemd's kind gets them: datagrams at a path or an abstract name. Not beside tests that start
/// processes: a child has a copy of the socket until it executes its program, and what is sent to it is not refused.
/// </summary>
[Collection(nameof(Alone))]
public sealed class NotificationTests : IAsyncDisposable
{
    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("lcs-");
    private readonly Dictionary<string, string?> _environment = [];
    private readonly byte[] _buffer = new byte[8_192];
    private Socket _socket;
    private LaunchdClient _client;

    public NotificationTests()
    {
        _socket = Bind(Path);
        _environment["NOTIFY_SOCKET"] = Path;
        _client = new LaunchdClient([], null, _environment.GetValueOrDefault);
    }

    private string Path => System.IO.Path.Combine(_folder.FullName, "notify");

    public async ValueTask DisposeAsync()
    {
        await _client.DisposeAsync();
        _socket.Dispose();
        _folder.Delete(recursive: true);
    }

    [Fact]
    public async Task EachIsOneDatagram_InSystemdsWords()
    {
        Assert.True(_client.IsSupervised);
        Assert.True(_client.NotifyReady());
        Assert.True(_client.NotifyReady("serving"));
        Assert.True(_client.NotifyStatus("grün ✓"));
        Assert.True(_client.NotifyStopping());
        Assert.True(_client.NotifyWatchdog());
        Assert.True(_client.NotifyBroken());
        Assert.True(_client.ExtendTimeout(TimeSpan.FromSeconds(1.5)));

        foreach (string expected in (string[])
            ["READY=1", "READY=1\nSTATUS=serving", "STATUS=grün ✓", "STOPPING=1", "WATCHDOG=1", "WATCHDOG=trigger",
                "EXTEND_TIMEOUT_USEC=1500000"])
        {
            Assert.Equal(expected, await Next());
        }
    }

    [Fact]
    public async Task AReloadSaysWhenItBegan()
    {
        long before = Interop.MonotonicClock.Microseconds();
        Assert.True(_client.NotifyReloading());
        string[] lines = (await Next()).Split('\n');

        Assert.Equal("RELOADING=1", lines[0]);
        Assert.InRange(long.Parse(lines[1]["MONOTONIC_USEC=".Length..]), before, Interop.MonotonicClock.Microseconds());
    }

    [Fact]
    public async Task AStatusCannotSayAnythingElse()
    {
        Assert.True(_client.NotifyStatus("a\nREADY=1\0b"));
        Assert.Equal("STATUS=a READY=1 b", await Next());
        Assert.True(_client.NotifyStatus(new string('ü', 5_000)));
        Assert.Equal("STATUS=" + new string('ü', 1_024), await Next());
    }

    [Fact]
    public async Task TheBarrierIsOver_WhenItsDescriptorIsClosed()
    {
        Task<bool> barrier = _client.BarrierAsync();
        DescriptorMessage message = await _socket.ReceiveDescriptorsAsync(_buffer);
        Assert.Equal(("BARRIER=1", 1), (Encoding.UTF8.GetString(_buffer, 0, message.Length), message.Count));
        Assert.False(barrier.IsCompleted);

        message.Dispose();

        Assert.True(await barrier.WaitAsync(Deadline.Generous));
    }

    [Fact]
    public async Task ABarrierThatIsCancelled_Ends()
    {
        using var cancelling = new CancellationTokenSource();
        Task<bool> barrier = _client.BarrierAsync(cancelling.Token);
        await cancelling.CancelAsync();

        _ = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => barrier);
    }

    [Fact]
    public async Task WithoutAChannel_StoringGoesByNotification()
    {
        _environment["FDSTORE"] = "5";
        _client = new LaunchdClient([], null, _environment.GetValueOrDefault);
        using FileDescriptor memory = FileDescriptor.CreateMemory("m", 8);
        Assert.Equal(5, _client.StoreCapacity);
        Task stored = _client.StoreAsync("session", [memory], StoreMode.Replace);

        Assert.Equal("FDSTOREREMOVE=1\nFDNAME=session", await Next());
        using (DescriptorMessage message = await _socket.ReceiveDescriptorsAsync(_buffer))
        {
            Assert.Equal("FDSTORE=1\nFDNAME=session", Encoding.UTF8.GetString(_buffer, 0, message.Length));
            using FileDescriptor got = message.Take(0);
            Assert.True(Kernel.IsSameFile(memory.Number, got.Number));
        }
        Assert.Equal("BARRIER=1", await Next());
        await stored.WaitAsync(Deadline.Generous);
        _ = await Assert.ThrowsAsync<ArgumentException>(() => _client.StoreAsync("a\nREADY=1", [memory]));
        Assert.Equal(LaunchdError.NoChannel,
            (await Assert.ThrowsAsync<LaunchdException>(() => _client.StoreAsync("a", [memory], StoreMode.IfAbsent))).Error);
    }

    [Fact]
    public async Task AnAbstractNameWillDo()
    {
        string name = $"launchd-client-{Guid.NewGuid():N}";
        using Socket socket = Bind("\0" + name);
        await using LaunchdClient client = new([], null, n => n == "NOTIFY_SOCKET" ? "@" + name : null);

        Assert.True(client.NotifyReady());
        Assert.Equal(7, await socket.ReceiveAsync(_buffer));
    }

    [Theory]
    [InlineData("relative")]
    [InlineData("/")]
    [InlineData("vsock:2:1234")]
    public void AnythingElseIsAnError(string address) =>
        Assert.Equal(LaunchdError.BadEnvironment,
            Assert.Throws<LaunchdException>(() => new LaunchdClient([], null, n => n == "NOTIFY_SOCKET" ? address : null)).Error);

    [Fact]
    public async Task ASupervisorThatIsGone_IsNobody_AndOneThatComesBackIsFoundAgain()
    {
        Assert.True(_client.NotifyReady());
        _socket.Dispose();
        Assert.False(_client.NotifyWatchdog());
        File.Delete(Path);
        Assert.False(_client.NotifyWatchdog());

        _socket = Bind(Path);

        Assert.True(_client.NotifyStatus("back"));
        Assert.Equal("STATUS=back", await Next());
    }

    [Fact]
    public async Task AFullQueueIsWaitedFor()
    {
        const int Count = 300;
        Task<bool> sending = Task.Run(() => Enumerable.Range(0, Count).All(i => _client.NotifyStatus($"{i}")));
        for (int i = 0; i < Count; i++)
            Assert.Equal($"STATUS={i}", await Next());

        Assert.True(await sending.WaitAsync(Deadline.Generous));
    }

    [Fact]
    public void TooLongForANotification_IsTheCallersMistake() =>
        Assert.Throws<ArgumentException>(() => _client.Notify(new string('x', 4_097)));

    private static Socket Bind(string path)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
        socket.Bind(new UnixDomainSocketEndPoint(path));
        return socket;
    }

    private async Task<string> Next()
    {
        using CancellationTokenSource deadline = new(Deadline.Generous);
        using DescriptorMessage message = await _socket.ReceiveDescriptorsAsync(_buffer, cancellation: deadline.Token);
        return Encoding.UTF8.GetString(_buffer, 0, message.Length);
    }
}
