using System.Text;

namespace Launchd.Probe;

/// <summary>
/// Takes what comes to every inherited FIFO, message queue, netlink or datagram socket, on threads of its own, and says what it was.
/// </summary>
internal static unsafe class Take
{
    public static void All()
    {
        foreach ((int number, string name) in Descriptors.Listed())
            new Thread(() => Every(number, name)) { IsBackground = true }.Start();
        Output.Line("taking");
    }

    private static void Every(int number, string name)
    {
        byte[] buffer = new byte[64 * 1024];
        while (true)
        {
            Libc.pollfd wait = new() { fd = number, events = Libc.POLLIN };
            _ = Libc.poll(&wait, 1, -1);
            nint got;
            fixed (byte* start = buffer)
            {
                // Of a message queue read(2) gives the state, not a message (mq_overview(7)).
                got = Libc.mq_receive(number, start, (nuint)buffer.Length, null);
                if (got < 0)
                    got = Libc.read(number, start, (nuint)buffer.Length);
            }
            if (got > 0)
            {
                Output.Line("took", json =>
                {
                    json.WriteString("name", name);
                    json.WriteString("text", Encoding.UTF8.GetString(buffer, 0, (int)got));
                });
            }
        }
    }
}
