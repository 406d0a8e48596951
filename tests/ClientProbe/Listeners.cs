using System.Net.Sockets;
using Launchd.Client;

namespace Launchd.ClientProbe;

/// <summary>What a badly written program does to a listener that others hold as well.</summary>
internal static class Listeners
{
    /// <summary>Gets a listener, waits in a synchronous accept, and disposes the socket meanwhile.</summary>
    public static async Task<string> DisposeWhileAccepting(Socket socket, bool isProtected)
    {
        using DescriptorMessage message = await socket.ReceiveDescriptorsAsync(new byte[1]);
        var listener = new Socket(new SafeSocketHandle(message.Take(0).ReleaseNumber(), ownsHandle: true));
        if (isProtected)
            SharedListener.Protect(listener);
        string outcome = "accepted";
        var accepting = new Thread(() =>
        {
            try
            {
                listener.Accept().Dispose();
            }
            catch (SocketException refused)
            {
                outcome = refused.SocketErrorCode.ToString();
            }
            catch (ObjectDisposedException)
            {
                outcome = "disposed";
            }
        });
        accepting.Start();
        while (isProtected ? !accepting.ThreadState.HasFlag(ThreadState.WaitSleepJoin) : !IsAnyThreadAccepting())
            _ = Thread.Yield();
        listener.Dispose();
        accepting.Join();
        return outcome;
    }

    // proc_pid_syscall(5): the number of the call that a thread is blocked in; accept(2) and accept4(2), x86-64 and arm64.
    private static bool IsAnyThreadAccepting() =>
        Directory.GetDirectories("/proc/self/task")
            .Select(task => File.ReadAllText(task + "/syscall").Split(' ')[0])
            .Any(call => call is "43" or "288" or "202" or "242");
}
