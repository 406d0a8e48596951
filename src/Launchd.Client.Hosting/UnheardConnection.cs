namespace Launchd.Client.Hosting;

/// <summary>A feature of a connection as long as its listener waits for its first request, or for its end.</summary>
internal sealed class UnheardConnection
{
    private readonly CancellationTokenRegistration _closing;
    private PatientListener? _listener;

    public UnheardConnection(PatientListener listener, CancellationToken closed)
    {
        _listener = listener;
        _closing = closed.UnsafeRegister(static connection => ((UnheardConnection)connection!).Settle(), this);
    }

    /// <summary>A request has begun. Further ones change nothing.</summary>
    public void Hear()
    {
        if (_listener is null)
            return;
        Settle();
        _ = _closing.Unregister();
    }

    private void Settle() => Interlocked.Exchange(ref _listener, null)?.Hear();
}
