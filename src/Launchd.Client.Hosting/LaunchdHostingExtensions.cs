using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;

namespace Launchd.Client.Hosting;

/// <summary>Makes a host of .NET a good child of its supervisor, launchd-cs or systemd; without one the program runs as ever.</summary>
public static class LaunchdHostingExtensions
{
    /// <summary>
    /// Kestrel takes the inherited sockets; the supervisor is told READY when everything has started, and STOPPING; a drain ends the host,
    /// but not before the clients that were accepted last have been served; a reload reads the host's configuration again, the watchdog
    /// gets its pulse. <see cref="LaunchdClient"/> can be injected. Logging is left as it is.
    /// </summary>
    /// <typeparam name="TBuilder">A builder of a web application or of another host.</typeparam>
    /// <param name="builder">Call it once, before the builder builds.</param>
    /// <param name="configure">Which sockets, and what is not wanted; null: everything.</param>
    /// <returns>The builder.</returns>
    /// <exception cref="LaunchdException">The inherited environment is wrong (<see cref="LaunchdError.BadEnvironment"/>).</exception>
    public static TBuilder UseLaunchd<TBuilder>(this TBuilder builder, Action<LaunchdHostingOptions>? configure = null)
        where TBuilder : IHostApplicationBuilder
    {
        ArgumentNullException.ThrowIfNull(builder);
        _ = builder.Services.AddLaunchd(LaunchdClient.FromEnvironment(), configure);
        return builder;
    }

    /// <summary>The same for a collection of services, with a client that was made before.</summary>
    /// <param name="services">Of the host.</param>
    /// <param name="clientTaken">The host disposes it.</param>
    /// <param name="configure">Which sockets, and what is not wanted; null: everything.</param>
    /// <returns>The collection.</returns>
    public static IServiceCollection AddLaunchd(
        this IServiceCollection services, LaunchdClient clientTaken, Action<LaunchdHostingOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(services);
        ArgumentNullException.ThrowIfNull(clientTaken);
        var options = new LaunchdHostingOptions();
        configure?.Invoke(options);
        // Registered by a factory, because the container disposes only objects that it has made itself.
        _ = services.AddSingleton(_ => clientTaken);
        _ = services.AddSingleton(options);
        services.TryAddSingleton(TimeProvider.System);
        _ = services.AddHostedService<LaunchdLifetime>();
        if (options.HearLastClients)
            FirstRequests.Add(services);
        _ = services.Configure<KestrelServerOptions>(kestrel => KestrelListeners.Add(kestrel, clientTaken, options));
        return services;
    }
}
