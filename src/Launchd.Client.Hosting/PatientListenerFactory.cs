using System.Net;
using Microsoft.AspNetCore.Connections;

namespace Launchd.Client.Hosting;

/// <summary>
/// Kestrel stops by closing its listeners, and then every connection from which it has not read a request: also the one that it accepted a
/// moment ago and whose request is on its way, or in the socket already. Where another process goes on accepting, nothing else is lost in a
/// restart. So a listener reports that it is unbound only when the clients that it accepted last have sent their first requests.
/// </summary>
/// <param name="inner">Makes the listeners.</param>
/// <param name="time">Measures the patience.</param>
internal sealed class PatientListenerFactory(IConnectionListenerFactory inner, TimeProvider time)
    : IConnectionListenerFactory, IConnectionListenerFactorySelector
{
    /// <inheritdoc/>
    public async ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        new PatientListener(await inner.BindAsync(endpoint, cancellationToken).ConfigureAwait(false), time);

    /// <inheritdoc/>
    public bool CanBind(EndPoint endpoint) => inner is not IConnectionListenerFactorySelector selector || selector.CanBind(endpoint);
}
