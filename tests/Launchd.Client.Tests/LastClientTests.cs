using System.Net;
using System.Net.Sockets;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Launchd.Client.Hosting;
using Launchd.Client.Tests.Support;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Options;
using Xunit;

namespace Launchd.Client.Tests;

/// <summary>What becomes of those whom Kestrel has accepted and not heard when it stops.</summary>
public sealed class LastClientTests : IDisposable
{
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly SpyTransport _transport = new();

    public LastClientTests()
    {
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen();
    }

    public void Dispose() => _listener.Dispose();

    [Fact]
    public async Task TheyAreHeardBeforeTheirConnectionsAreClosed()
    {
        await using FakeSupervisor supervisor = Supervisor();
        await using WebApplication app = await Start(supervisor, hearsLastClients: true);
        using Socket client = await Accepted();

        Task stopping = app.StopAsync();
        await _transport.Unbound.Task.WaitAsync(Deadline.Generous);
        _ = await client.SendAsync("GET / HTTP/1.1\r\nHost: x\r\n\r\n"u8.ToArray());

        Assert.Contains("served", await ReadAll(client), StringComparison.Ordinal);
        await stopping.WaitAsync(Deadline.Generous);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task WhoSaysNothing_IsNotWaitedForLong(bool hearsLastClients)
    {
        await using FakeSupervisor supervisor = Supervisor();
        await using WebApplication app = await Start(supervisor, hearsLastClients);
        using Socket client = await Accepted();

        await app.StopAsync().WaitAsync(Deadline.Generous);

        Assert.Empty(await ReadAll(client));
    }

    [Fact]
    public async Task WhoHasLeft_IsNotWaitedFor()
    {
        var time = new StandingTime();
        await using FakeSupervisor supervisor = Supervisor();
        await using WebApplication app = await Start(supervisor, hearsLastClients: true, time);
        (await Accepted()).Dispose();

        // Time stands still: nothing but the end of the connection can end this.
        await app.StopAsync().WaitAsync(Deadline.Generous);
    }

    private async Task<WebApplication> Start(FakeSupervisor supervisor, bool hearsLastClients, TimeProvider? time = null)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        _ = builder.Logging.ClearProviders();
        if (time is not null)
            _ = builder.Services.AddSingleton(time);
        _ = builder.Services.AddSingleton<IConnectionListenerFactory>(_transport);
        _ = builder.Services.AddLaunchd(supervisor.Client, options =>
        {
            options.StopOnDrain = false;
            options.ReloadConfiguration = false;
            options.HearLastClients = hearsLastClients;
        });
        WebApplication app = builder.Build();
        _ = app.MapGet("/", () => "served");
        await app.StartAsync();
        return app;
    }

    private FakeSupervisor Supervisor() =>
        FakeSupervisor.StartWith(
            [new NamedDescriptor("http", new FileDescriptor(Kernel.Duplicate(_listener.SafeHandle)))], [("LAUNCHD_SERVICE", "web")]);

    private async Task<Socket> Accepted()
    {
        var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(_listener.LocalEndPoint!);
        await _transport.Accepted.Task.WaitAsync(Deadline.Generous);
        return client;
    }

    private static async Task<string> ReadAll(Socket client)
    {
        await using var stream = new NetworkStream(client);
        using var reader = new StreamReader(stream, Encoding.ASCII);
        return await reader.ReadToEndAsync().WaitAsync(Deadline.Generous);
    }

    /// <summary>A clock whose timers never fire.</summary>
    private sealed class StandingTime : TimeProvider
    {
        public override long GetTimestamp() => 1;

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            System.CreateTimer(callback, state, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Kestrel's own transport, which says what happens in it.</summary>
    private sealed class SpyTransport : IConnectionListenerFactory, IConnectionListenerFactorySelector
    {
        private readonly SocketTransportFactory _sockets = new(Options.Create(new SocketTransportOptions()), NullLoggerFactory.Instance);

        public TaskCompletionSource Accepted { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public TaskCompletionSource Unbound { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public bool CanBind(EndPoint endpoint) => _sockets.CanBind(endpoint);

        public async ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
            new SpyListener(this, await _sockets.BindAsync(endpoint, cancellationToken));
    }

    private sealed class SpyListener(SpyTransport transport, IConnectionListener inner) : IConnectionListener
    {
        public EndPoint EndPoint => inner.EndPoint;

        public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
        {
            ConnectionContext? accepted = await inner.AcceptAsync(cancellationToken);
            if (accepted is not null)
                _ = transport.Accepted.TrySetResult();
            return accepted;
        }

        public async ValueTask UnbindAsync(CancellationToken cancellationToken = default)
        {
            await inner.UnbindAsync(cancellationToken);
            _ = transport.Unbound.TrySetResult();
        }

        public ValueTask DisposeAsync() => inner.DisposeAsync();
    }
}
