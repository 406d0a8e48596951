using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.Extensions.DependencyInjection;

namespace Launchd.Client.Hosting;

/// <summary>
/// Puts <see cref="PatientListener"/> between Kestrel and its transports, and tells the listener of each
/// first request before the application sees it.
/// </summary>
internal sealed class FirstRequests : IStartupFilter
{
    public static void Add(IServiceCollection services)
    {
        _ = services.AddSingleton<IStartupFilter, FirstRequests>();
        for (int i = 0; i < services.Count; i++)
        {
            if (services[i] is { IsKeyedService: false } transport && transport.ServiceType == typeof(IConnectionListenerFactory))
            {
                services[i] = ServiceDescriptor.Singleton<IConnectionListenerFactory>(
                    provider => new PatientListenerFactory(Make(provider, transport), provider.GetRequiredService<TimeProvider>()));
            }
        }
    }

    public Action<IApplicationBuilder> Configure(Action<IApplicationBuilder> next) => application =>
    {
        _ = application.Use(rest => context =>
        {
            context.Features.Get<UnheardConnection>()?.Hear();
            return rest(context);
        });
        next(application);
    };

    private static IConnectionListenerFactory Make(IServiceProvider provider, ServiceDescriptor transport) =>
        (IConnectionListenerFactory)(transport.ImplementationInstance ?? transport.ImplementationFactory?.Invoke(provider)
            ?? ActivatorUtilities.CreateInstance(provider, transport.ImplementationType!));
}
