using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace Launchd.AcceptanceTests.Support;

/// <summary>
/// Ports of the loopback for programs that must know theirs beforehand. They lie below those that the kernel chooses (ip(7),
/// ip_local_port_range), which sockets of other tests get at any moment, and no two tests of a process get the same one.
/// </summary>
internal static class LoopbackPort
{
    private const int Lowest = 10_000;
    private static readonly int Count = FirstOfTheKernels() - Lowest;

    // Test projects run beside each other: each begins elsewhere.
    private static int _taken = Environment.ProcessId % 1_000 * 997;

    /// <summary>A port that nobody has.</summary>
    public static int Free()
    {
        using Socket held = Hold(out int port);
        return port;
    }

    /// <summary>A socket that has such a port and does not listen: whoever connects to it is refused as long as it is open.</summary>
    public static Socket Hold(out int port)
    {
        for (int tried = 0; tried < Count; tried++)
        {
            port = Lowest + (int)((uint)Interlocked.Increment(ref _taken) % (uint)Count);
            Socket socket = new(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
            try
            {
                socket.Bind(new IPEndPoint(IPAddress.Loopback, port));
                return socket;
            }
            catch (SocketException taken) when (taken.SocketErrorCode == SocketError.AddressAlreadyInUse)
            {
                socket.Dispose();
            }
        }
        throw new InvalidOperationException($"all ports from {Lowest} to {Lowest + Count - 1} are taken");
    }

    /// <summary>As it is by default where it was made to begin so low that hardly a port is left below it.</summary>
    private static int FirstOfTheKernels()
    {
        const int usual = 32_768;
        int first = int.Parse(File.ReadAllText("/proc/sys/net/ipv4/ip_local_port_range").Split('\t', ' ')[0], CultureInfo.InvariantCulture);
        return first >= Lowest + 1_000 ? first : usual;
    }
}
