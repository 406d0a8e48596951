using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Launchd.Client.Hosting;
using Launchd.Client.Tests.Support;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Xunit;

namespace Launchd.Client.Tests;

/// <summary>A whole ASP.NET application in this process, with a supervisor that the test plays.</summary>
public sealed class HostingTests : IAsyncDisposable
{
    private const string Watch = """{"method":"org.launchd-cs.Instance.Watch","more":true}""";
    private const string Watching = """{"parameters":{},"continues":true}""";

    private readonly DirectoryInfo _folder = Directory.CreateTempSubdirectory("lcs-");
    private readonly Socket _notifications = new(AddressFamily.Unix, SocketType.Dgram, ProtocolType.Unspecified);
    private readonly Socket _listener = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
    private readonly WebApplicationBuilder _builder = WebApplication.CreateSlimBuilder();
    private readonly byte[] _buffer = new byte[4_096];

    public HostingTests()
    {
        _notifications.Bind(new UnixDomainSocketEndPoint(NotifyPath));
        _listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        _listener.Listen();
        _ = _builder.Logging.ClearProviders();
    }

    private string NotifyPath => Path.Combine(_folder.FullName, "notify");

    private Uri Address => new($"http://{_listener.LocalEndPoint}/");

    public ValueTask DisposeAsync()
    {
        _notifications.Dispose();
        _listener.Dispose();
        _folder.Delete(recursive: true);
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task KestrelServesTheInheritedSocket_SaysReady_DrainsWhenAsked_AndLeavesTheSocketAlive()
    {
        await using FakeSupervisor supervisor = Supervisor();
        _ = _builder.Services.AddLaunchd(supervisor.Client, o => o.Listen("http"));
        await using WebApplication app = _builder.Build();
        _ = app.MapGet("/", (LaunchdClient injected) => injected.Service);
        Task starting = app.StartAsync();
        await supervisor.Answer(Watch, Watching);
        await starting;

        Assert.Equal("READY=1", await Next());
        using (var http = new HttpClient())
            Assert.Equal("web", await http.GetStringAsync(Address));
        await supervisor.Say("""{"parameters":{"event":"Drain","successor":2},"continues":true}""");
        await app.WaitForShutdownAsync().WaitAsync(Deadline.Generous);

        Assert.Equal("STOPPING=1", await Next());
        using var client = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        await client.ConnectAsync(_listener.LocalEndPoint!);
        using Socket accepted = await _listener.AcceptAsync().WaitAsync(Deadline.Generous);
        Assert.True(accepted.Connected);
    }

    [Fact]
    public async Task WithoutANameEveryListenerIsTaken_AndNothingElse()
    {
        await using FakeSupervisor supervisor = Supervisor();
        _ = _builder.Services.AddLaunchd(supervisor.Client, NoEvents);
        await using WebApplication app = _builder.Build();
        _ = app.MapGet("/", () => "served");
        await app.StartAsync();

        using (var http = new HttpClient())
            Assert.Equal("served", await http.GetStringAsync(Address));
        Assert.Equal([true, false], supervisor.Client.Inherited.Select(d => d.IsTaken));
        await app.StopAsync();
    }

    [Fact]
    public async Task ANameThatWasNotInherited_IsAnErrorThatSaysWhatWas()
    {
        await using FakeSupervisor supervisor = Supervisor();
        _ = _builder.Services.AddLaunchd(supervisor.Client, o => o.Listen("htp"));

        LaunchdException refused = Assert.Throws<LaunchdException>(() => _builder.Build());

        Assert.Equal((LaunchdError.NoSuchDescriptor, "htp"), (refused.Error, refused.Detail));
        Assert.Contains("http (Listener)", refused.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task WithoutASupervisor_KestrelListensAsConfigured()
    {
        _ = _builder.WebHost.UseUrls("http://127.0.0.1:0");
        _ = _builder.UseLaunchd(o => o.Listen("http"));
        await using WebApplication app = _builder.Build();
        _ = app.MapGet("/", () => "alone");
        await app.StartAsync();

        using var http = new HttpClient();
        Assert.Equal("alone", await http.GetStringAsync(new Uri(app.Urls.Single())));
        await app.StopAsync();
    }

    [Fact]
    public async Task TheWatchdogsPulseComes_UntilTheHostHasStopped()
    {
        await using FakeSupervisor supervisor = Supervisor(("WATCHDOG_USEC", "100000"));
        _ = _builder.Services.AddLaunchd(supervisor.Client, NoEvents);
        await using WebApplication app = _builder.Build();
        await app.StartAsync();

        List<string> first = [];
        while (first.Count(n => n == "WATCHDOG=1") < 4)
            first.Add(await Next());
        await app.StopAsync();

        Assert.Single(first, "READY=1");
        // All that was sent is read; then nothing comes that was not sent before.
        while (_notifications.Available > 0)
            _ = await Next();
        await app.DisposeAsync();
        Assert.Equal(0, _notifications.Available);
    }

    [Fact]
    public async Task AReloadReadsTheConfigurationAgain_AndSaysWhen()
    {
        string file = Path.Combine(_folder.FullName, "app.json");
        await File.WriteAllTextAsync(file, """{"colour":"red"}""");
        _ = _builder.Configuration.AddJsonFile(file, optional: false, reloadOnChange: false);
        await using FakeSupervisor supervisor = Supervisor();
        _ = _builder.Services.AddLaunchd(supervisor.Client);
        await using WebApplication app = _builder.Build();
        Task starting = app.StartAsync();
        await supervisor.Answer(Watch, Watching);
        await starting;
        Assert.Equal("READY=1", await Next());

        foreach ((string text, string colour) in ((string, string)[])[("""{"colour":"blue"}""", "blue"), ("{", "blue")])
        {
            await File.WriteAllTextAsync(file, text);
            await supervisor.Say("""{"parameters":{"event":"Reload"},"continues":true}""");
            Assert.StartsWith("RELOADING=1\nMONOTONIC_USEC=", await Next(), StringComparison.Ordinal);
            Assert.Equal("READY=1", await Next());
            if (text.Length > 1)
                Assert.Equal(colour, app.Configuration["colour"]);
        }
        await app.StopAsync();
    }

    [Fact]
    public async Task ScopesOfTheLogAreKept()
    {
        var lines = new ScopeCollector();
        _ = _builder.Logging.AddProvider(lines);
        await using FakeSupervisor supervisor = Supervisor();
        _ = _builder.Services.AddLaunchd(supervisor.Client, NoEvents);
        await using WebApplication app = _builder.Build();
        _ = app.MapGet("/", (ILogger<HostingTests> logger) =>
        {
            using (logger.BeginScope("order 17"))
#pragma warning disable CA1848, CA2254 // One line in a test.
                logger.LogInformation("packed");
#pragma warning restore CA1848, CA2254
            return "";
        });
        await app.StartAsync();

        using (var http = new HttpClient())
            _ = await http.GetStringAsync(Address);
        await app.StopAsync();

        string packed = Assert.Single(lines.Lines, l => l.EndsWith("packed", StringComparison.Ordinal));
        Assert.Contains("order 17", packed, StringComparison.Ordinal);
        Assert.Contains("RequestId", packed, StringComparison.Ordinal);
    }

    private static void NoEvents(LaunchdHostingOptions options)
    {
        options.StopOnDrain = false;
        options.ReloadConfiguration = false;
    }

    private FakeSupervisor Supervisor(params (string, string)[] more)
    {
        using FileDescriptor memory = FileDescriptor.CreateMemory("settings", 8);
        NamedDescriptor[] inherited =
        [
            new NamedDescriptor("http", new FileDescriptor(Kernel.Duplicate(_listener.SafeHandle))),
            new NamedDescriptor("settings", memory.Duplicate()),
        ];
        return FakeSupervisor.StartWith(inherited, [("NOTIFY_SOCKET", NotifyPath), ("LAUNCHD_SERVICE", "web"), .. more]);
    }

    private async Task<string> Next()
    {
        using CancellationTokenSource deadline = new(Deadline.Generous);
        using DescriptorMessage message = await _notifications.ReceiveDescriptorsAsync(_buffer, cancellation: deadline.Token);
        return Encoding.UTF8.GetString(_buffer, 0, message.Length);
    }

    /// <summary>Lines with their scopes before them.</summary>
    private sealed class ScopeCollector : ILoggerProvider, ISupportExternalScope, ILogger
    {
        private IExternalScopeProvider _scopes = new LoggerExternalScopeProvider();

        public ConcurrentQueue<string> Lines { get; } = [];

        public ILogger CreateLogger(string categoryName) => this;

        public void SetScopeProvider(IExternalScopeProvider scopeProvider) => _scopes = scopeProvider;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => _scopes.Push(state);

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            StringBuilder line = new();
            _scopes.ForEachScope((scope, text) => text.Append(scope).Append(" > "), line);
            Lines.Enqueue(line.Append(formatter(state, exception)).ToString());
        }

        public void Dispose()
        {
        }
    }
}
