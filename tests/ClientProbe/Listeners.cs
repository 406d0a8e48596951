using System.Net.Sockets;
using System.Runtime.InteropServices;
using Launchd.Client;

namespace Launchd.ClientProbe;

/// <summary>What a badly written program does to a listener that others hold as well.</summary>
internal static class Listeners
{
    /// <summary>The numbers of accept(2) and accept4(2).</summary>
    private static readonly string[] Accepting =
        RuntimeInformation.ProcessArchitecture == Architecture.X64 ? ["43", "288"] : ["202", "242"];

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

    /// <summary>A service that answers each client of its listener, and disposes the socket when it is asked to end.</summary>
    /// <param name="isPending">An asynchronous accept is under way then; otherwise a thread waits in accept(2).</param>
    public static int ServeAndDispose(bool isPending)
    {
        using var ending = new ManualResetEventSlim();
        using PosixSignalRegistration terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal =>
        {
            signal.Cancel = true;
            ending.Set();
        });
        using LaunchdClient client = LaunchdClient.FromEnvironment();
        var listener = new Socket(new SafeSocketHandle(client.Inherited[0].Take().ReleaseNumber(), ownsHandle: true));
        if (isPending)
            _ = AnswerPending(listener);
        else
            new Thread(() => Answer(listener)) { IsBackground = true }.Start();
        while (!isPending && !IsAnyThreadAccepting())
            _ = Thread.Yield();
        Console.WriteLine("begun");
        ending.Wait();
        listener.Dispose();
        return 0;
    }

    private static async Task AnswerPending(Socket listener)
    {
        while (true)
        {
            using Socket client = await listener.AcceptAsync();
            _ = await client.SendAsync("served"u8.ToArray());
            client.Shutdown(SocketShutdown.Send);
        }
    }

    private static void Answer(Socket listener)
    {
        try
        {
            while (true)
            {
                using Socket client = listener.Accept();
                _ = client.Send("served"u8);
                client.Shutdown(SocketShutdown.Send);
            }
        }
        catch (Exception disposed) when (disposed is SocketException or ObjectDisposedException)
        {
            // By the end of the program.
        }
    }

    // proc_pid_syscall(5): the number of the call that a thread is blocked in. Numbers of one architecture are others' on another, and a
    // thread that waits in futex(2) there is always one.
    private static bool IsAnyThreadAccepting() => Directory.GetDirectories("/proc/self/task").Any(task => Accepting.Contains(CallOf(task)));

    private static string CallOf(string task)
    {
        try
        {
            return File.ReadAllText(task + "/syscall").Split(' ')[0];
        }
        catch (IOException)
        {
            return ""; // It has ended meanwhile.
        }
    }
}
