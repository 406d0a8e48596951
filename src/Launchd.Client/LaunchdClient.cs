using System.Globalization;
using System.Runtime.InteropServices;
using Launchd.Client.Channel;
using Launchd.Client.Interop;

namespace Launchd.Client;

/// <summary>
/// A program's end of its supervisor: what it inherited, what it tells (ready, status, watchdog), and what it asks for. Works under
/// launchd-cs with everything, under systemd with all that <c>LISTEN_FDS</c> and <c>NOTIFY_SOCKET</c> can do, and without any
/// supervisor: then nothing is inherited, notifications return false, and requests fail with <see cref="LaunchdError.NoChannel"/>.
/// </summary>
/// <remarks>
/// Make one at the start, before other threads read the environment, and keep it for the life of the process. All members are safe from
/// several threads. It owns the inherited descriptors until they are taken.
/// </remarks>
public sealed partial class LaunchdClient : IDisposable, IAsyncDisposable
{
    private readonly NamedDescriptor[] _inherited;
    private readonly Notifier? _notifier;
    private readonly ChannelConnection? _channel;
    private readonly EventHub _events;
    private readonly Lock _gate = new();
    private Task? _subscription;

    internal LaunchdClient(NamedDescriptor[] inheritedTaken, FileDescriptor? channelTaken, Func<string, string?> environment)
    {
        _inherited = inheritedTaken;
        _notifier = Notifier.To(environment("NOTIFY_SOCKET"));
        _events = new EventHub { Give = Give };
        if (channelTaken is not null)
            _channel = new ChannelConnection(channelTaken, _events.Take) { Ended = _events.End };
        Service = environment("LAUNCHD_SERVICE");
        Slot = Number(environment("LAUNCHD_SLOT"));
        Generation = Number(environment("LAUNCHD_GENERATION"));
        StoreCapacity = Number(environment("FDSTORE")) ?? 0;
        WatchdogPeriod = WatchdogOf(environment);
    }

    /// <summary>Whether there is a supervisor, of whichever kind.</summary>
    public bool IsSupervised => _notifier is not null || _channel is not null;

    /// <summary>Whether there is a channel to launchd-cs, which requests need.</summary>
    public bool HasChannel => _channel is not null;

    /// <summary>The service's name; null without launchd-cs.</summary>
    public string? Service { get; }

    /// <summary>The place in the pool, from 0; null without launchd-cs.</summary>
    public int? Slot { get; }

    /// <summary>The roll-out that this instance belongs to, from 1; null without launchd-cs.</summary>
    public int? Generation { get; }

    /// <summary>How many descriptors the supervisor stores for this service; 0: none.</summary>
    public int StoreCapacity { get; }

    /// <summary>
    /// The longest silence between two calls of <see cref="NotifyWatchdog"/>; null if nobody watches. Call twice as often.
    /// </summary>
    public TimeSpan? WatchdogPeriod { get; }

    /// <summary>What was inherited, in the supervisor's order: sockets, files, then what a former instance stored.</summary>
    public IReadOnlyList<NamedDescriptor> Inherited => _inherited;

    /// <summary>
    /// Reads what this process was given. Every announced descriptor is close-on-exec from then on.
    /// </summary>
    /// <param name="unsetEnvironment">
    /// Removes <c>LISTEN_*</c> and <c>LAUNCHD_CHANNEL</c> from the environment that .NET passes on, so that no child takes them for its
    /// own, and a second call finds nothing. False only if something else in this process reads them and takes no ownership.
    /// </param>
    /// <exception cref="LaunchdException">
    /// <see cref="LaunchdError.BadEnvironment"/>: a variable is wrong, or an announced descriptor is not open. Variables of another process
    /// are no error: they were inherited by accident.
    /// </exception>
    public static LaunchdClient FromEnvironment(bool unsetEnvironment = true)
    {
        try
        {
            NamedDescriptor[] inherited = InheritedDescriptors.Read(Environment.GetEnvironmentVariable);
            return new LaunchdClient(
                inherited, InheritedDescriptors.ReadChannel(Environment.GetEnvironmentVariable), Environment.GetEnvironmentVariable);
        }
        finally
        {
            if (unsetEnvironment)
            {
                foreach (string variable in InheritedDescriptors.Variables)
                    Environment.SetEnvironmentVariable(variable, null);
            }
        }
    }

    /// <summary>The first inherited descriptor of a name that was not taken yet; null if there is none.</summary>
    /// <param name="name">As in the configuration.</param>
    public NamedDescriptor? Find(string name) => Array.Find(_inherited, d => d.Name == name && !d.IsTaken);

    /// <summary>Closes the channel and what was inherited and not taken.</summary>
    public void Dispose()
    {
        _channel?.Dispose();
        Close();
    }

    /// <summary>The same, and waits until nothing is read from the channel any more.</summary>
    public async ValueTask DisposeAsync()
    {
        if (_channel is not null)
            await _channel.DisposeAsync().ConfigureAwait(false);
        Close();
    }

    private void Close()
    {
        _events.CloseHandedOver();
        _notifier?.Dispose();
        foreach (NamedDescriptor one in _inherited)
            one.Dispose();
    }

    private static int? Number(string? text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : null;

    // sd_watchdog_enabled(3): without WATCHDOG_PID the period is for any process that reads it.
    private static TimeSpan? WatchdogOf(Func<string, string?> environment)
    {
        if (environment("WATCHDOG_PID") is { Length: > 0 } pid && Number(pid) != Environment.ProcessId)
            return null;
        return long.TryParse(environment("WATCHDOG_USEC"), NumberStyles.None, CultureInfo.InvariantCulture, out long microseconds)
            && microseconds > 0
            ? MonotonicClock.Span(microseconds)
            : null;
    }

    private ChannelConnection Channel() => _channel
        ?? throw new LaunchdException(
            LaunchdError.NoChannel, "there is no channel to launchd-cs: LAUNCHD_CHANNEL is not set for this process");

    // Called by the channel's reader, which must not wait: so the answer is sent by a task. If that fails, the
    // supervisor tells the asking sibling after a while.
    private void Give(long ask, SafeHandle? wanted)
    {
        if (_channel is { } channel)
            _ = GiveAsync(channel, ask, wanted);
    }

    private static async Task GiveAsync(ChannelConnection channel, long ask, SafeHandle? wanted)
    {
        try
        {
            await channel.TellAsync("Give", json => json.WriteNumber("ask", ask), wanted is null ? [] : [wanted], CancellationToken.None)
                .ConfigureAwait(false);
        }
        catch (LaunchdException)
        {
            // The channel has ended: the next request of the program is told so.
        }
        catch (ObjectDisposedException)
        {
            // The program closed the descriptor at this moment. The supervisor waits for the answer only for a limited time.
        }
    }
}
