using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Linux.Sockets;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// Speaks on the channel of a service that does not: takes the program's end by pidfd_getfd(2), and says, as root may, that it is that
/// program. So a test decides every byte, descriptor and moment.
/// </summary>
internal sealed class ChannelPeer : IDisposable
{
    private const string Interface = "org.launchd-cs.Instance.";

    private readonly FileDescriptor _end;
    private readonly Socket _waiting;
    private readonly byte[] _buffer = new byte[128 * 1024];

    private ChannelPeer(int pid, FileDescriptor end)
    {
        Pid = pid;
        _end = end;
        _waiting = new Socket(new SafeSocketHandle(end.Number, ownsHandle: false));
    }

    public int Pid { get; }

    /// <summary>The program's end, for tests that send it somewhere.</summary>
    public FileDescriptor End => _end;

    /// <summary>The channel of the newest instance that was spawned for a service.</summary>
    public static async Task<ChannelPeer> Of(Supervisor supervisor, string service, int nth = 1)
    {
        return OfProcess((await supervisor.Event("spawned", service, nth)).Pid);
    }

    public static ChannelPeer OfProcess(int pid) => new(pid, Take(pid, ChannelNumber(pid)));

    /// <summary>A duplicate of a process's descriptor.</summary>
    public static FileDescriptor Take(int pid, int number)
    {
        using ProcessHandle? process = ProcessHandle.TryOpen(pid);
        Assert.NotNull(process);
        FileDescriptor? taken = ProcessDescriptors.Take(process, number, closer: null, out Errno refused);
        Assert.True(taken is not null, $"pidfd_getfd: {refused.Text}");
        return taken;
    }

    public static int ChannelNumber(int pid) => int.Parse(Variable(pid, "LAUNCHD_CHANNEL"));

    public static string Variable(int pid, string name) =>
        Environment(pid).Split('\0').Single(v => v.StartsWith(name + "=", StringComparison.Ordinal))[(name.Length + 1)..];

    /// <summary>
    /// The environment with which a program was executed. execve(2) lets the parent of a vfork(2) go on as soon as the old memory is given
    /// up, a moment before the new one has its environment (fs/exec.c, exec_mmap): the file is empty for so long, and no event ends it.
    /// </summary>
    private static string Environment(int pid)
    {
        long end = System.Environment.TickCount64 + (long)Deadline.Generous.TotalMilliseconds;
        string text = "";
        while (text.Length == 0)
        {
            Assert.True(System.Environment.TickCount64 < end, $"process {pid} has no environment");
            text = File.ReadAllText($"/proc/{pid}/environ");
        }
        return text;
    }

    /// <summary>Calls, and returns the answer as text.</summary>
    public string Call(string method, string parameters = "{}", params ReadOnlySpan<FileDescriptor> descriptors)
    {
        Send(Request(method, parameters), descriptors);
        return ReadText();
    }

    public static string Request(string method, string parameters = "{}", string more = "") =>
        $$"""{"method":"{{Interface}}{{method}}","parameters":{{parameters}}{{more}}}""";

    public void Send(string text, params ReadOnlySpan<FileDescriptor> descriptors) =>
        Assert.Equal(SendOutcome.Sent, TrySend(text, descriptors));

    /// <summary>As the program itself, without waiting for room.</summary>
    public unsafe SendOutcome TrySend(string text, params ReadOnlySpan<FileDescriptor> descriptors)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(text);
        int[] numbers = new int[descriptors.Length];
        for (int i = 0; i < numbers.Length; i++)
            numbers[i] = descriptors[i].Number;
        nuint[] room = new nuint[1024];
        Libc.ucred credentials = new() { pid = Pid, uid = Libc.geteuid(), gid = Libc.getegid() };
        fixed (nuint* control = room)
        fixed (byte* start = bytes.Length == 0 ? new byte[1] : bytes)
        {
            Span<byte> headers = new(control, room.Length * sizeof(nuint));
            int length = ControlMessage.Write(
                headers, ControlMessage.SCM_CREDENTIALS, new ReadOnlySpan<byte>(&credentials, sizeof(Libc.ucred)));
            length += ControlMessage.WriteRights(headers[length..], numbers);
            Libc.iovec vector = new() { iov_base = start, iov_len = (nuint)bytes.Length };
            Libc.msghdr message = new() { msg_iov = &vector, msg_iovlen = 1, msg_control = control, msg_controllen = (nuint)length };
            return Libc.sendmsg(_end.Number, &message, 0x4040) >= 0 ? SendOutcome.Sent : SendResult.Refused(Errno.Last).Outcome;
        }
    }

    /// <summary>The next packet as text; its descriptors are closed. Empty: the supervisor has closed the channel.</summary>
    public string ReadText()
    {
        (string text, FileDescriptor[] descriptors) = Read();
        foreach (FileDescriptor descriptor in descriptors)
            descriptor.Dispose();
        return text;
    }

    public JsonElement ReadJson() => JsonElement.Parse(ReadText());

    public (string Text, FileDescriptor[] Descriptors) Read()
    {
        while (true)
        {
            Assert.True(_waiting.Poll(Deadline.Generous, SelectMode.SelectRead), "nothing came on the channel");
            Received received = UnixSocket.Receive(_end, _buffer);
            if (received.Outcome is ReceiveOutcome.WouldBlock or ReceiveOutcome.Reset)
                continue;
            FileDescriptor[] descriptors = [.. Enumerable.Range(0, received.Descriptors.Count).Select(i => received.Descriptors.Take(i))];
            return (Encoding.UTF8.GetString(_buffer, 0, received.Length), descriptors);
        }
    }

    public void Dispose()
    {
        _waiting.Dispose();
        _end.Dispose();
    }
}

/// <summary>Descriptors for tests to send.</summary>
internal static class Some
{
    public static FileDescriptor Memory(string name = "memory") =>
        FileOpener.OpenMemory(name, 16, default).ValueOr(f => new InvalidOperationException(f.ToString()));

    private static FileDescriptor ValueOr(this OpenResult<FileDescriptor> result, Func<OpenFailure, Exception> refuse) =>
        result.TryGet(out FileDescriptor? value, out OpenFailure? failure) ? value : throw refuse(failure);
}
