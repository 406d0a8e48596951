using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Launchd.Client.Hosting;

/// <summary>The host's life as the supervisor sees it: ready, stopping, drain, reload, watchdog.</summary>
internal sealed partial class LaunchdLifetime(
    LaunchdClient client, LaunchdHostingOptions options, IHostApplicationLifetime lifetime, IConfiguration configuration, TimeProvider time,
    ILogger<LaunchdLifetime> logger) : IHostedLifecycleService, IDisposable
{
    private readonly CancellationTokenSource _ending = new();
    private Task _pulsing = Task.CompletedTask;
    private Task _watching = Task.CompletedTask;

    public Task StartingAsync(CancellationToken cancellationToken)
    {
        if (options.Watchdog && client.WatchdogPeriod is { } period)
            _pulsing = PulseAsync(period / 2);
        return Task.CompletedTask;
    }

    public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>Called when every hosted service has started, Kestrel too: from now on the sockets are accepted from.</summary>
    public Task StartedAsync(CancellationToken cancellationToken)
    {
        if (client.HasChannel && (options.StopOnDrain || options.ReloadConfiguration))
            _watching = WatchAsync();
        if (client.NotifyReady())
            LogReady(client.Service, client.Slot, client.Generation);
        return Task.CompletedTask;
    }

    public Task StoppingAsync(CancellationToken cancellationToken)
    {
        _ = client.NotifyStopping();
        return Task.CompletedTask;
    }

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    /// <summary>The pulse goes on until here: draining is work as well.</summary>
    public async Task StoppedAsync(CancellationToken cancellationToken)
    {
        await _ending.CancelAsync().ConfigureAwait(false);
        await Task.WhenAll(_pulsing, _watching).ConfigureAwait(false);
    }

    public void Dispose() => _ending.Dispose();

    // Each pulse is sent from a thread of the pool that was free to do so, after a timer that ran: where requests would wait for ever,
    // because every thread is blocked, there is none either. A thread of its own would prove nothing.
    private async Task PulseAsync(TimeSpan interval)
    {
        using var timer = new PeriodicTimer(interval, time);
        try
        {
            do
            {
                Pulse();
            }
            while (await timer.WaitForNextTickAsync(_ending.Token).ConfigureAwait(false));
        }
        catch (OperationCanceledException)
        {
            // The host has stopped.
        }
    }

    private void Pulse()
    {
        try
        {
            _ = client.NotifyWatchdog();
        }
        catch (LaunchdException refused)
        {
            // The next pulse may pass; if none does, the supervisor takes the program for hung.
            LogPulseRefused(refused);
        }
    }

    private async Task WatchAsync()
    {
        try
        {
            await foreach (LaunchdEvent happened in await client.WatchAsync(_ending.Token).ConfigureAwait(false))
                Handle(happened);
        }
        catch (OperationCanceledException)
        {
            // The host has stopped.
        }
        catch (LaunchdException refused)
        {
            LogWatchRefused(refused);
        }
    }

    private void Handle(LaunchdEvent happened)
    {
        if (happened is DrainAsked drain && options.StopOnDrain)
        {
            LogDrain(drain.TimeLeft, drain.Successor);
            lifetime.StopApplication();
        }
        if (happened is ReloadAsked && options.ReloadConfiguration)
            Reload();
    }

    private void Reload()
    {
        _ = client.NotifyReloading();
        try
        {
            (configuration as IConfigurationRoot)?.Reload();
            LogReloaded();
        }
        catch (Exception mistake) when (mistake is IOException or FormatException or InvalidDataException)
        {
            // The configuration that was read before still holds; the operator who asked for the reload finds the reason in the log.
            LogReloadFailed(mistake);
        }
        _ = client.NotifyReady();
    }

    [LoggerMessage(1, LogLevel.Information, "ready, as {Service}.{Slot} of generation {Generation}")]
    private partial void LogReady(string? service, int? slot, int? generation);

    [LoggerMessage(2, LogLevel.Information, "draining: {TimeLeft} left, successor {Successor}")]
    private partial void LogDrain(TimeSpan? timeLeft, long? successor);

    [LoggerMessage(3, LogLevel.Information, "configuration read again")]
    private partial void LogReloaded();

    [LoggerMessage(4, LogLevel.Error, "configuration could not be read again, the former one stays")]
    private partial void LogReloadFailed(Exception mistake);

    [LoggerMessage(5, LogLevel.Warning, "the watchdog's pulse was refused")]
    private partial void LogPulseRefused(Exception refused);

    [LoggerMessage(6, LogLevel.Warning, "no events of the supervisor: a drain is told by SIGTERM alone")]
    private partial void LogWatchRefused(Exception refused);
}
