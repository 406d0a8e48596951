using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using Xunit;

namespace Launchd.IntegrationTests.Logs;

/// <summary>
/// A pipe with something in it whose lock a thread holds, as any program can that has one end of it: it copies into the pipe by splice(2)
/// from a socket to which nothing comes. Whoever reads, writes, asks or closes the pipe meanwhile waits for that, and hears no signal.
/// </summary>
internal sealed class HeldPipe : IDisposable
{
    private const int AF_UNIX = 1, SOCK_STREAM = 1, SOCK_CLOEXEC = 0x80000;

    private readonly FileDescriptor _source;
    private readonly FileDescriptor _feed;
    private readonly Thread _holder;
    private volatile int _threadNumber;

    public HeldPipe(FileDescriptor write)
    {
        int[] ends = new int[2];
        Assert.Equal(0, SocketPair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ref ends[0]));
        _source = new FileDescriptor(ends[0]);
        _feed = new FileDescriptor(ends[1]);
        _holder = PumpHarness.Start(() =>
        {
            _threadNumber = Libc.gettid();
            _ = Splice(_source.Number, 0, write.Number, 0, 4096, 0);
        });
        // Asleep inside the call it can only wait for the socket, and then it has the lock.
        while (_threadNumber == 0 || !IsAsleepIn(SystemCallNumbersOfTest.Splice))
            Thread.Yield();
    }

    /// <summary>A pipe with this text in it, held. The write end is the caller's.</summary>
    public static (HeldPipe Hold, FileDescriptor Read, FileDescriptor Write) With(string text)
    {
        (FileDescriptor read, FileDescriptor write) = PumpHarness.Pipe();
        PumpHarness.Write(write, text);
        return (new HeldPipe(write), read, write);
    }

    /// <summary>What it waited for comes, and goes into the pipe.</summary>
    public void Release(string text)
    {
        PumpHarness.Write(_feed, text);
        PumpHarness.Join(_holder);
        Dispose();
    }

    public void Dispose()
    {
        _feed.Dispose();
        _source.Dispose();
    }

    private bool IsAsleepIn(long call)
    {
        string task = $"/proc/self/task/{_threadNumber}/";
        return File.ReadAllText(task + "syscall").StartsWith(call + " ", StringComparison.Ordinal)
            && File.ReadAllText(task + "stat").Split(") ")[^1].StartsWith('S');
    }

    [DllImport("libc", EntryPoint = "socketpair")]
    private static extern int SocketPair(int domain, int type, int protocol, ref int ends);

    [DllImport("libc", EntryPoint = "splice")]
    private static extern nint Splice(int from, nint fromOffset, int to, nint toOffset, nint length, uint flags);

    /// <summary>The number of splice(2).</summary>
    private static class SystemCallNumbersOfTest
    {
        public static long Splice => RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 275 : 76;
    }
}
