using System.Net;
using Microsoft.AspNetCore.Connections;

namespace Launchd.Client.Hosting;

/// <summary>A listener of Kestrel that counts the clients that were accepted and have not sent a request yet.</summary>
/// <param name="innerTaken">Accepts.</param>
/// <param name="time">Measures the patience.</param>
internal sealed class PatientListener(IConnectionListener innerTaken, TimeProvider time) : IConnectionListener
{
    /// <summary>
    /// How long after the last accept the listener waits for first requests: a client sends its request
    /// at once, unless it connects in advance.
    /// </summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    private readonly TaskCompletionSource _acceptedLast = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _heardLast = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _acceptedAt = time.GetTimestamp();
    private bool _isAccepting;
    private bool _isUnbound;

    // The listener itself counts as one until it is unbound: so the count becomes zero only
    // afterwards, and exactly one caller makes it zero.
    private int _unheard = 1;

    public EndPoint EndPoint => innerTaken.EndPoint;

    public async ValueTask<ConnectionContext?> AcceptAsync(CancellationToken cancellationToken = default)
    {
        ConnectionContext? accepted = null;
        Volatile.Write(ref _isAccepting, true);
        try
        {
            accepted = await innerTaken.AcceptAsync(cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            if (accepted is null)
                _ = _acceptedLast.TrySetResult();
        }
        if (accepted is null)
            return null;
        _ = Interlocked.Increment(ref _unheard);
        Volatile.Write(ref _acceptedAt, time.GetTimestamp());
        accepted.Features.Set(new UnheardConnection(this, accepted.ConnectionClosed));
        return accepted;
    }

    public async ValueTask UnbindAsync(CancellationToken cancellationToken = default)
    {
        await innerTaken.UnbindAsync(cancellationToken).ConfigureAwait(false);
        // A connection that was accepted before may still be on its way through the thread pool. When the
        // host's patience is over, it closes the rest.
        if (Volatile.Read(ref _isAccepting))
            await _acceptedLast.Task.WaitAsync(cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!Interlocked.Exchange(ref _isUnbound, true))
            Hear();
        TimeSpan left = Patience - time.GetElapsedTime(Volatile.Read(ref _acceptedAt));
        if (_heardLast.Task.IsCompleted || left <= TimeSpan.Zero)
            return;
        await _heardLast.Task.WaitAsync(left, time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    public ValueTask DisposeAsync() => innerTaken.DisposeAsync();

    /// <summary>One client less is waited for: it has sent its request, or ended.</summary>
    public void Hear()
    {
        if (Interlocked.Decrement(ref _unheard) == 0)
            _ = _heardLast.TrySetResult();
    }
}
