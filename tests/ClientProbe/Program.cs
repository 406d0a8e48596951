using System.Globalization;
using System.Net.Sockets;
using Launchd.Client;

namespace Launchd.ClientProbe;

/// <summary>
/// The second process in tests of the client library. It connects to the Unix socket that its first argument names, gets descriptors
/// over it, does what the second says, and answers in one line there. It ends when the socket does. With <c>service</c> or <c>dispose</c>
/// as its first argument it runs under a real supervisor instead.
/// </summary>
internal static class Program
{
    private static async Task<int> Main(string[] arguments)
    {
        if (arguments[0] == "service")
            return await Service.Run(arguments[1]);
        if (arguments[0] == "dispose")
            return Listeners.ServeAndDispose(isPending: arguments[1] == "pending");
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(arguments[0]));
        string answer = arguments[1] switch
        {
            "dispose-raw" => await Listeners.DisposeWhileAccepting(socket, isProtected: false),
            "dispose-protected" => await Listeners.DisposeWhileAccepting(socket, isProtected: true),
            "receive-without-numbers" => await Numbers.ReceiveWithoutAny(socket),
            "take" => Take(arguments[2], arguments[3]),
            "hide" => Numbers.Hide(),
            "wait" => "waiting",
            _ => throw new ArgumentException($"no such step: {arguments[1]}"),
        };
        _ = await socket.SendAsync(System.Text.Encoding.UTF8.GetBytes(answer + "\n"));
        byte[] end = new byte[1];
        while (await socket.ReceiveAsync(end) > 0)
            continue;
        return 0;
    }

    /// <summary>pidfd_getfd(2) of another process's descriptor; the answer is the error's number, 0 for none.</summary>
    private static string Take(string pid, string number)
    {
        try
        {
            using PidFd process = PidFd.Open(int.Parse(pid, CultureInfo.InvariantCulture));
            using FileDescriptor taken = process.GetDescriptor(int.Parse(number, CultureInfo.InvariantCulture));
            return "0";
        }
        catch (LaunchdException refused)
        {
            return refused.ErrorNumber.ToString(CultureInfo.InvariantCulture);
        }
    }
}
