using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Launchd.Client;

namespace Launchd.Samples.Chat;

/// <summary>
/// Everybody who is here, served by one thread that waits until somebody can be read from or written to. When <see cref="Serve"/> has
/// returned nothing is under way: all there is to know stands in the fields, and can be handed over.
/// </summary>
internal sealed class Room
{
    private readonly Socket _listener;
    private readonly (Socket Here, Socket There) _wake = DescriptorSocket.CreatePair();
    private List<Client> _clients = [];
    private long _number;

    public Room(Socket listener)
    {
        _listener = listener;
        _listener.Blocking = false;
    }

    /// <summary>The connections, in the order in which <see cref="Save"/> tells of them.</summary>
    public IReadOnlyList<SafeHandle> Connections => [.. _clients.Select(c => c.Socket.SafeHandle)];

    /// <summary>What a successor has to know beside the connections.</summary>
    public byte[] Save() => JsonSerializer.SerializeToUtf8Bytes(new State(_number, _clients), JsonSerializerOptions.Web);

    /// <summary>Goes on where a predecessor stopped. If that died in the middle, there are fewer connections than clients.</summary>
    public void Restore(byte[] state, IReadOnlyList<NamedDescriptor> connections)
    {
        (_number, _clients) = JsonSerializer.Deserialize<State>(state, JsonSerializerOptions.Web)!;
        _clients = _clients[..connections.Count];
        foreach ((Client client, NamedDescriptor connection) in _clients.Zip(connections))
            client.Socket = connection.TakeSocket();
    }

    public void Serve(CancellationToken until)
    {
        using CancellationTokenRegistration waking = until.Register(() => _wake.There.Send([0]));
        while (!until.IsCancellationRequested)
        {
            List<Socket> readable = [_wake.Here, _listener, .. _clients.Select(c => c.Socket)];
            List<Socket> writable = [.. _clients.Where(c => c.HasOutput).Select(c => c.Socket)];
            Socket.Select(readable, writable, null, Timeout.InfiniteTimeSpan);
            foreach (Client client in Among(writable))
                Write(client);
            foreach (Client client in Among(readable))
                Read(client);
            if (readable.Contains(_listener))
                Accept();
            if (readable.Contains(_wake.Here))
                _wake.Here.Receive(new byte[1]);
        }
    }

    private Client[] Among(List<Socket> ready) => [.. _clients.IntersectBy(ready, c => c.Socket)];

    private void Accept()
    {
        try
        {
            _clients.Add(new Client { Socket = _listener.Accept() });
        }
        catch (SocketException)
        {
            // It did not wait for its turn.
        }
    }

    private void Read(Client from)
    {
        List<string>? lines = from.Read();
        foreach (string line in lines ?? [])
        {
            string text = from.Nick is null ? $"{line} has come" : $"{from.Nick}: {line}";
            from.Nick ??= line;
            Say(text);
        }
        if (lines is null)
            Leave(from);
    }

    private void Write(Client to)
    {
        if (!to.Write())
            Leave(to);
    }

    private void Leave(Client client)
    {
        _clients.Remove(client);
        client.Socket.Dispose();
        if (client.Nick is not null)
            Say($"{client.Nick} has left");
    }

    /// <summary>Everybody who has a name gets the line, behind what the kernel has not taken yet.</summary>
    private void Say(string text)
    {
        byte[] line = Encoding.UTF8.GetBytes($"{++_number} {text}\n");
        foreach (Client client in _clients.Where(c => c.Nick is not null))
            client.Tell(line);
    }

    private sealed record State(long Number, List<Client> Clients);
}
