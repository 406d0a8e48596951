using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Launchd.Probe;

/// <summary>
/// Serves every inherited socket on threads of its own: gives back what it gets. Flags of the shared descriptions are left alone, so a
/// listener is waited for with poll(2) and a lost race for a connection is no error.
/// </summary>
internal static unsafe class Echo
{
    /// <summary>Whoever comes from now on is left to others that have the same listener; who was accepted is served on.</summary>
    public static volatile bool IsLeaving;

    /// <param name="greeting">Sent first on each connection; <c>{pid}</c> and <c>{slot}</c> are filled in. Null: nothing.</param>
    public static void Serve(string? greeting)
    {
        byte[] first = Encoding.UTF8.GetBytes((greeting ?? "")
            .Replace("{pid}", Environment.ProcessId.ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal)
            .Replace("{slot}", Environment.GetEnvironmentVariable("LAUNCHD_SLOT"), StringComparison.Ordinal));
        int served = 0;
        foreach ((int number, _) in Descriptors.Listed())
        {
            if (Descriptors.Option(number, Libc.SO_ACCEPTCONN) == 1)
                Start(() => AcceptAll(number, first));
            else if (Descriptors.Option(number, Libc.SO_TYPE) == Libc.SOCK_DGRAM)
                Start(() => AnswerAll(number));
            else
                continue;
            served++;
        }
        Output.Line("serving", json => json.WriteNumber("sockets", served));
    }

    private static void Start(ThreadStart body) => new Thread(body) { IsBackground = true }.Start();

    private static void AcceptAll(int listener, byte[] first)
    {
        while (true)
        {
            WaitReadable(listener);
            if (IsLeaving)
                return;
            int connection = Libc.accept4(listener, null, null, Libc.SOCK_CLOEXEC);
            if (connection >= 0)
                Start(() => EchoAll(connection, first));
            else if (Marshal.GetLastPInvokeError() is not (Libc.EAGAIN or Libc.EINTR))
                Output.Line("accept-failed", json => json.WriteNumber("errno", Marshal.GetLastPInvokeError()));
        }
    }

    private static void EchoAll(int connection, byte[] first)
    {
        byte[] buffer = new byte[16 * 1024];
        bool isOpen = WriteAll(connection, first);
        while (isOpen)
        {
            int filled;
            fixed (byte* start = buffer)
                filled = (int)Libc.read(connection, start, (nuint)buffer.Length);
            isOpen = filled > 0 && WriteAll(connection, buffer.AsSpan(0, filled));
        }
        _ = Libc.close(connection);
    }

    private static bool WriteAll(int connection, ReadOnlySpan<byte> bytes)
    {
        while (bytes.Length > 0)
        {
            nint written;
            fixed (byte* start = bytes)
                written = Libc.write(connection, start, (nuint)bytes.Length);
            if (written < 0)
                return false;
            bytes = bytes[(int)written..];
        }
        return true;
    }

    private static void AnswerAll(int socket)
    {
        byte[] buffer = new byte[64 * 1024];
        byte* peer = stackalloc byte[128];
        while (true)
        {
            WaitReadable(socket);
            uint length = 128;
            fixed (byte* start = buffer)
            {
                nint got = Libc.recvfrom(socket, start, (nuint)buffer.Length, 0, peer, &length);
                if (got >= 0 && length > 0)
                    _ = Libc.sendto(socket, start, (nuint)got, 0, peer, length);
            }
        }
    }

    private static void WaitReadable(int number)
    {
        Libc.pollfd wait = new() { fd = number, events = Libc.POLLIN };
        _ = Libc.poll(&wait, 1, -1);
    }
}
