using Microsoft.AspNetCore.Server.Kestrel.Core;

namespace Launchd.Client.Hosting;

/// <summary>What <see cref="LaunchdHostingExtensions.UseLaunchd"/> does; everything is on unless it is switched off.</summary>
public sealed class LaunchdHostingOptions
{
    private readonly List<(string Name, Action<ListenOptions>? Configure)> _listeners = [];

    /// <summary>Ends the host when the supervisor asks the program to drain; default true. SIGTERM ends it in any case.</summary>
    public bool StopOnDrain { get; set; } = true;

    /// <summary>Reads the host's configuration again when the supervisor says so; default true.</summary>
    public bool ReloadConfiguration { get; set; } = true;

    /// <summary>Sends the watchdog's pulse, where the supervisor asks for one; default true.</summary>
    public bool Watchdog { get; set; } = true;

    /// <summary>
    /// When Kestrel stops, it waits for the requests of the clients that it accepted last, up to a second after the last accept, instead of
    /// closing their connections unread; default true. Only for applications that have Kestrel before
    /// <see cref="LaunchdHostingExtensions.UseLaunchd"/> is called, such as those of WebApplication.CreateBuilder.
    /// </summary>
    public bool HearLastClients { get; set; } = true;

    internal IReadOnlyList<(string Name, Action<ListenOptions>? Configure)> Listeners => _listeners;

    /// <summary>
    /// Kestrel listens on the inherited sockets of this name. Without any call it listens on all that accept connections.
    /// </summary>
    /// <param name="name">As in the configuration of the supervisor.</param>
    /// <param name="configure">Protocols, HTTPS and so on of these sockets.</param>
    /// <returns>Itself, for the next call.</returns>
    public LaunchdHostingOptions Listen(string name, Action<ListenOptions>? configure = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        _listeners.Add((name, configure));
        return this;
    }
}
