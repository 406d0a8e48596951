using System.Net.Sockets;
using System.Text;
using System.Text.Json.Serialization;

namespace Launchd.Samples.Chat;

/// <summary>One connection. Everything about it that the kernel does not know stands in its properties, and travels with it.</summary>
internal sealed class Client
{
    private const int LongestLine = 4096;
    private const int MostOutput = 1 << 20;

    private LinkedList<ReadOnlyMemory<byte>> _output = [];

    /// <summary>Its first line; null until that has come.</summary>
    public string? Nick { get; set; }

    /// <summary>Read from the connection, and not a whole line yet.</summary>
    public byte[] Input { get; set; } = [];

    /// <summary>Said to it, and not taken by the kernel yet. The lines themselves are shared by all to whom they are said.</summary>
    public byte[] Output
    {
        get => [.. _output.SelectMany(part => part.ToArray())];
        set => _output = value.Length == 0 ? [] : new([value]);
    }

    [JsonIgnore]
    public bool HasOutput => _output.Count > 0;

    [JsonIgnore]
    public Socket Socket
    {
        get => field!;
        set
        {
            field = value;
            field.Blocking = false;
        }
    }

    /// <summary>Reads what there is, and returns the lines that are whole now. Null: it has gone, or says too much at once.</summary>
    public List<string>? Read()
    {
        byte[] buffer = new byte[LongestLine];
        int count = Socket.Receive(buffer, SocketFlags.None, out SocketError error);
        if (error == SocketError.WouldBlock)
            return [];
        if (count == 0)
            return null;
        List<string> lines = [];
        Input = [.. Input, .. buffer[..count]];
        for (int end; (end = Array.IndexOf(Input, (byte)'\n')) >= 0; Input = Input[(end + 1)..])
            lines.Add(Encoding.UTF8.GetString(Input, 0, end).TrimEnd('\r'));
        return Input.Length <= LongestLine ? lines : null;
    }

    public void Tell(ReadOnlyMemory<byte> line) => _output.AddLast(line);

    /// <summary>Writes what the kernel takes. False: it has gone, or does not read.</summary>
    public bool Write()
    {
        while (_output.First is { } next)
        {
            int count = Socket.Send(next.Value.Span, SocketFlags.None, out SocketError error);
            if (error == SocketError.WouldBlock)
                return _output.Sum(part => (long)part.Length) <= MostOutput;
            if (error != SocketError.Success)
                return false;
            next.Value = next.Value[count..];
            if (next.Value.IsEmpty)
                _output.RemoveFirst();
        }
        return true;
    }
}
