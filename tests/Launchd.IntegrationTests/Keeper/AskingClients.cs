using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;
using Launchd.AcceptanceTests.Support;

namespace Launchd.IntegrationTests.Keeper;

/// <summary>Clients that ask a probe that greets with "served " one thing after the other, whatever becomes of its supervisor.</summary>
internal sealed class AskingClients : IDisposable
{
    private readonly CancellationTokenSource _over = new();
    private readonly Task[] _clients;
    private long _asked;

    public AskingClients(IPEndPoint address, int count) =>
        _clients = [.. Enumerable.Range(0, count).Select(_ => Task.Run(() => AskOn(address)))];

    /// <summary>What was not answered, or wrongly.</summary>
    public ConcurrentQueue<string> Failures { get; } = [];

    /// <summary>How many requests there were.</summary>
    public long Asked => Interlocked.Read(ref _asked);

    /// <summary>Cancelled when they are to end.</summary>
    public CancellationToken Over => _over.Token;

    /// <summary>Ends them, each after its last answer.</summary>
    public async Task End()
    {
        await _over.CancelAsync();
        await Task.WhenAll(_clients);
    }

    public void Dispose()
    {
        _over.Cancel();
        _over.Dispose();
    }

    private async Task AskOn(IPEndPoint address)
    {
        CancellationToken over = _over.Token;
        while (!over.IsCancellationRequested)
        {
            try
            {
                if (await Supervisor.Ask(address, "?") != "served ?")
                    Failures.Enqueue("no answer");
            }
            catch (Exception refused) when (refused is IOException or SocketException or OperationCanceledException)
            {
                Failures.Enqueue(refused.Message);
            }
            _ = Interlocked.Increment(ref _asked);
        }
    }
}
