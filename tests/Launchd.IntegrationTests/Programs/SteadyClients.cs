using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Programs;

/// <summary>Clients that ask at a Unix socket without a pause until the end, each time over a connection of its own and once.</summary>
internal sealed class SteadyClients : IAsyncDisposable
{
    private readonly CancellationTokenSource _over = new();
    private readonly ConcurrentQueue<string> _failures = [];
    private readonly Task[] _clients;
    private int _answeredCount;

    private SteadyClients(int count, string path, byte[] request, string answer)
    {
        _clients = [.. Enumerable.Range(0, count).Select(_ => Task.Run(() => AskOn(path, request, answer)))];
    }

    public static SteadyClients Begin(int count, string path, byte[] request, string answer) => new(count, path, request, answer);

    /// <summary>One request; the whole answer.</summary>
    public static async Task<string> Ask(string path, byte[] request)
    {
        using Socket client = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        using CancellationTokenSource deadline = new(Deadline.Generous);
        await client.ConnectAsync(new UnixDomainSocketEndPoint(path), deadline.Token);
        _ = await client.SendAsync(request, deadline.Token);
        await using NetworkStream stream = new(client);
        using StreamReader answer = new(stream, Encoding.Latin1);
        return await answer.ReadToEndAsync(deadline.Token);
    }

    /// <summary>Ends them, and fails if one request did or if there was none.</summary>
    public async Task AssertNoneFailed()
    {
        await _over.CancelAsync();
        await Task.WhenAll(_clients);
        Assert.Equal([], _failures);
        Assert.True(_answeredCount > 0, "nobody asked");
    }

    public async ValueTask DisposeAsync()
    {
        await _over.CancelAsync();
        await Task.WhenAll(_clients);
        _over.Dispose();
    }

    private async Task AskOn(string path, byte[] request, string answer)
    {
        while (!_over.IsCancellationRequested)
        {
            try
            {
                string got = await Ask(path, request);
                if (got.Contains(answer, StringComparison.Ordinal))
                    _ = Interlocked.Increment(ref _answeredCount);
                else
                    _failures.Enqueue($"answered \"{got}\"");
            }
            catch (Exception failure) when (failure is SocketException or IOException or OperationCanceledException)
            {
                _failures.Enqueue(failure.Message);
            }
        }
    }
}
