using System.Text;

namespace Launchd.Probe;

/// <summary>The inherited descriptors, by number and by name.</summary>
internal static unsafe class Descriptors
{
    private const int First = 3;

    /// <summary>What LISTEN_FDS names, in order. LISTEN_PID is not looked at: the audit shows it, and the test decides.</summary>
    public static IReadOnlyList<(int Number, string Name)> Listed()
    {
        if (!int.TryParse(Environment.GetEnvironmentVariable("LISTEN_FDS"), out int count))
            return [];
        string[] names = (Environment.GetEnvironmentVariable("LISTEN_FDNAMES") ?? "").Split(':');
        return [.. Enumerable.Range(0, count).Select(i => (First + i, i < names.Length ? names[i] : "unknown"))];
    }

    /// <summary>Prints what stands at the start of the descriptor of that name, at most 4 KiB of it.</summary>
    public static void PrintContent(string name)
    {
        int number = Listed().Where(d => d.Name == name).Select(d => d.Number).DefaultIfEmpty(-1).First();
        byte[] buffer = new byte[4096];
        nint got = -1;
        fixed (byte* start = buffer)
            got = Libc.pread(number, start, (nuint)buffer.Length, 0);
        Output.Line("content", json =>
        {
            json.WriteString("name", name);
            json.WriteNumber("number", number);
            json.WriteString("text", got < 0 ? null : Encoding.UTF8.GetString(buffer, 0, (int)got));
        });
    }

    /// <summary>s6's way to say that one is ready.</summary>
    public static void WriteNewlineAndClose(int number)
    {
        byte newline = (byte)'\n';
        nint written = Libc.write(number, &newline, 1);
        int closed = Libc.close(number);
        Output.Line("ready-fd", json => json.WriteBoolean("ok", written == 1 && closed == 0));
    }

    public static int Option(int number, int name)
    {
        int value = -1;
        uint length = sizeof(int);
        return Libc.getsockopt(number, Libc.SOL_SOCKET, name, &value, &length) == 0 ? value : -1;
    }

    /// <summary>The bound address as text, or null.</summary>
    public static string? Address(int number)
    {
        byte* address = stackalloc byte[128];
        uint length = 128;
        if (Libc.getsockname(number, address, &length) != 0)
            return null;
        ReadOnlySpan<byte> bytes = new(address, (int)Math.Min(length, 128));
        int port = (address[2] << 8) | address[3];
        return *(ushort*)address switch
        {
            1 when bytes.Length <= 2 => "",
            1 when bytes[2] == 0 => "@" + Encoding.UTF8.GetString(bytes[3..]),
            1 => Encoding.UTF8.GetString(bytes[2..]).TrimEnd('\0'),
            2 => $"{new System.Net.IPAddress(bytes.Slice(4, 4))}:{port}",
            10 => $"[{new System.Net.IPAddress(bytes.Slice(8, 16))}]:{port}",
            ushort family => $"family {family}",
        };
    }
}
