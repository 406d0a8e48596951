using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Launchd.AcceptanceTests.Support;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// A client of the control socket that can also misbehave. Everything has a deadline; a connection
/// that the supervisor closed reads as null.
/// </summary>
internal sealed class ControlSocket : IDisposable
{
    private const string Interface = "org.launchd-cs.Supervisor.";

    private readonly Socket _socket = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly List<byte> _unread = [];
    private readonly byte[] _buffer = new byte[64 * 1024];

    /// <summary>Connects once the supervisor runs.</summary>
    public static async Task<ControlSocket> To(Supervisor supervisor)
    {
        _ = await supervisor.Event("supervisor-started");
        return await To(supervisor.Scratch);
    }

    /// <summary>Connects to what runs in <c>run</c> below this folder.</summary>
    public static async Task<ControlSocket> To(Scratch scratch)
    {
        ControlSocket control = new();
        await control._socket.ConnectAsync(new UnixDomainSocketEndPoint(scratch.At("run/control.sock")));
        return control;
    }

    public async Task<JsonElement> Call(string method, string parameters = "{}") =>
        Parameters(await Ask(method, parameters)) is { ValueKind: not JsonValueKind.Undefined } answer
            ? answer
            : throw new InvalidOperationException($"{method} was refused");

    /// <summary>The whole answer, be it an error; null: the connection was closed instead.</summary>
    public async Task<JsonElement?> Ask(string method, string parameters = "{}")
    {
        await Send(Request(method, parameters, more: false));
        return await Read();
    }

    /// <summary>A call to which several answers come.</summary>
    public Task Begin(string method, string parameters) => Send(Request(method, parameters, more: true));

    /// <summary>The state of one service.</summary>
    public async Task<JsonElement> Service(string name) =>
        (await Call("Status")).GetProperty("services").EnumerateArray().Single(s => s.GetProperty("service").GetString() == name);

    /// <summary>What was dropped or went wrong of this kind.</summary>
    public async Task<long> Counter(string kind) =>
        (await Call("Status")).GetProperty("supervisor").GetProperty("counters").TryGetProperty(kind, out JsonElement count)
            ? count.GetInt64()
            : 0;

    /// <summary>What stands in the way of a socket's clients; empty: nothing.</summary>
    public async Task<string> Trouble(string socket) =>
        (await Call("Status")).GetProperty("sockets").EnumerateArray().Single(s => s.GetProperty("socket").GetString() == socket)
            .TryGetProperty("trouble", out JsonElement trouble) ? trouble.GetString() ?? "" : "";

    /// <summary>Waits until there is none, which no event tells.</summary>
    public async Task UntilNoTrouble(string socket)
    {
        long end = Environment.TickCount64 + (long)Deadline.Generous.TotalMilliseconds;
        while (await Trouble(socket) is { Length: > 0 } trouble)
        {
            if (Environment.TickCount64 > end)
                throw new TimeoutException($"still '{trouble}' after {Deadline.Generous.TotalSeconds:0} s");
        }
    }

    /// <summary>
    /// Waits for what no event tells, such as a descriptor that is closed beside the loop: asks the supervisor something until it is so.
    /// </summary>
    public async Task Until(Func<bool> isSo, Func<string> seen)
    {
        long end = Environment.TickCount64 + (long)Deadline.Generous.TotalMilliseconds;
        while (!isSo())
        {
            if (Environment.TickCount64 > end)
                throw new TimeoutException($"still {seen()} after {Deadline.Generous.TotalSeconds:0} s");
            _ = await Call("Status");
        }
    }

    /// <summary>Waits until a process has so many descriptors open.</summary>
    public Task Descriptors(int pid, int count) =>
        Until(() => Living.DescriptorCount(pid) == count, () => $"{Living.DescriptorCount(pid)} descriptors, not {count}");

    /// <summary>
    /// Waits until a process has no more descriptors open: what is closed beside its loop takes a few numbers for a moment.
    /// </summary>
    public Task DescriptorsAtMost(int pid, int count) =>
        Until(() => Living.DescriptorCount(pid) <= count, () => $"{Living.DescriptorCount(pid)} descriptors, more than {count}");

    public Task Send(string text) => Send(Encoding.UTF8.GetBytes(text));

    /// <summary>Sends all; the peer's closing in the middle is no error, since that is what some tests provoke.</summary>
    public async Task Send(byte[] bytes)
    {
        using CancellationTokenSource deadline = new(Deadline.Generous);
        try
        {
            for (int sent = 0; sent < bytes.Length;)
                sent += await _socket.SendAsync(bytes.AsMemory(sent), deadline.Token);
        }
        catch (SocketException closed) when (closed.SocketErrorCode is SocketError.Shutdown or SocketError.ConnectionReset)
        {
            // Read() tells.
        }
    }

    /// <summary>The next answer; null: closed.</summary>
    public async Task<JsonElement?> Read()
    {
        using CancellationTokenSource deadline = new(Deadline.Generous);
        while (true)
        {
            int end = _unread.IndexOf(0);
            if (end >= 0)
            {
                JsonElement answer = JsonElement.Parse(_unread[..end].ToArray());
                _unread.RemoveRange(0, end + 1);
                return answer;
            }
            int got;
            try
            {
                got = await _socket.ReceiveAsync(_buffer, deadline.Token);
            }
            catch (SocketException closed) when (closed.SocketErrorCode == SocketError.ConnectionReset)
            {
                return null;
            }
            if (got == 0)
                return null;
            _unread.AddRange(_buffer.AsSpan(0, got));
        }
    }

    public void Dispose() => _socket.Dispose();

    private static string Request(string method, string parameters, bool more) =>
        $$"""{"method":"{{(method.Contains('.') ? method : Interface + method)}}","parameters":{{parameters}}"""
        + (more ? ",\"more\":true}\0" : "}\0");

    private static JsonElement Parameters(JsonElement? answer) =>
        answer is { } given && !given.TryGetProperty("error", out _) ? given.GetProperty("parameters") : default;
}
