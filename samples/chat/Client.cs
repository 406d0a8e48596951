using System.Net.Sockets;
using System.Text;
using System.Text.Json.Serialization;

namespace Launchd.Samples.Chat;

/// <summary>One connection. Everything about it that the kernel does not know stands in its properties, and travels with it.</summary>
internal sealed class Client
{
    private const int LongestLine = 4096;
    private const int MostOutput = 1 << 20;

    /// <summary>Its first line; null until that has come.</summary>
    public string? Nick { get; set; }

    /// <summary>Read from the connection, and not a whole line yet.</summary>
    public byte[] Input { get; set; } = [];

    /// <summary>Said to it, and not taken by the kernel yet.</summary>
    public byte[] Output { get; set; } = [];

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

    /// <summary>Writes what the kernel takes. False: it has gone, or does not read.</summary>
    public bool Write()
    {
        int count = Socket.Send(Output, SocketFlags.None, out SocketError error);
        Output = Output[count..];
        return error is SocketError.Success or SocketError.WouldBlock && Output.Length <= MostOutput;
    }
}
