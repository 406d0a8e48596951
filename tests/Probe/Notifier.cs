using System.Runtime.InteropServices;
using System.Text;

namespace Launchd.Probe;

/// <summary>Sends datagrams to NOTIFY_SOCKET, with descriptors where asked, and reports what the kernel said.</summary>
internal static unsafe class Notifier
{
    /// <summary>One datagram of the given lines.</summary>
    public static void Send(IReadOnlyList<string> lines, params ReadOnlySpan<int> descriptors)
    {
        string text = string.Join('\n', lines);
        int errno = SendBytes(Encoding.UTF8.GetBytes(text), descriptors);
        Output.Line("notified", json =>
        {
            json.WriteString("text", text);
            json.WriteNumber("errno", errno);
        });
    }

    /// <summary>sd_notify_barrier(3): the other end of the pipe is closed once everything before was read.</summary>
    public static void Barrier()
    {
        int* pipe = stackalloc int[2];
        if (Libc.pipe2(pipe, 0x80000) != 0)
            throw new InvalidOperationException("pipe2");
        Send(["BARRIER=1"], pipe[1]);
        _ = Libc.close(pipe[1]);
        byte unused;
        nint got;
        do
            got = Libc.read(pipe[0], &unused, 1);
        while (got < 0 && Marshal.GetLastPInvokeError() == Libc.EINTR);
        _ = Libc.close(pipe[0]);
        Output.Line("barrier", json => json.WriteBoolean("passed", got == 0));
    }

    /// <summary>Leaves a memory file that says which process stored it.</summary>
    public static void Store(string name)
    {
        byte[] content = Encoding.UTF8.GetBytes($"stored by {Environment.ProcessId}\n");
        int memory;
        fixed (byte* text = Encoding.UTF8.GetBytes(name + "\0"))
            memory = Libc.memfd_create(text, Libc.MFD_CLOEXEC);
        fixed (byte* text = content)
            _ = Libc.write(memory, text, (nuint)content.Length);
        Send(["FDSTORE=1", "FDNAME=" + name], memory);
        _ = Libc.close(memory);
    }

    /// <summary>What no program should send: a receiver has to survive all of it, and to count most of it.</summary>
    public static void SendGarbage()
    {
        Span<byte> noise = new byte[300];
        new Random(Seed: 7).NextBytes(noise);
        int* pipe = stackalloc int[2];
        if (Libc.pipe2(pipe, 0x80000) != 0)
            throw new InvalidOperationException("pipe2");
        int[] errors =
        [
            SendBytes([]),
            SendBytes("\0\0\0"u8),
            SendBytes("READY"u8),
            SendBytes("=1\n\n\n=\n"u8),
            SendBytes("MAINPID=-1\nWATCHDOG_USEC=99999999999999999999\nEXTEND_TIMEOUT_USEC=x"u8),
            SendBytes([.. "STATUS="u8, 0xff, 0xfe, 0x1b, (byte)'[', (byte)'2', (byte)'J']),
            SendBytes(noise),
            SendBytes(new byte[60_000]),
            SendBytes("FDSTORE=1\nFDNAME=../../etc:passwd"u8, pipe[0], pipe[1]),
            SendBytes("STATUS=descriptors that nobody asked for"u8, pipe[0], pipe[1]),
            SendBytes("FDSTORE=1"u8),
        ];
        _ = Libc.close(pipe[0]);
        _ = Libc.close(pipe[1]);
        Output.Line("garbage", json =>
        {
            json.WriteStartArray("errno");
            foreach (int error in errors)
                json.WriteNumberValue(error);
            json.WriteEndArray();
        });
    }

    /// <returns>0 or the error number.</returns>
    private static int SendBytes(ReadOnlySpan<byte> payload, params ReadOnlySpan<int> descriptors)
    {
        if (Environment.GetEnvironmentVariable("NOTIFY_SOCKET") is not { Length: > 1 } path)
            throw new UsageException("no NOTIFY_SOCKET in the environment");

        int socket = Libc.socket(Libc.AF_UNIX, Libc.SOCK_DGRAM | Libc.SOCK_CLOEXEC, 0);
        if (socket < 0)
            return Marshal.GetLastPInvokeError();
        try
        {
            return SendOn(socket, path, payload, descriptors);
        }
        finally
        {
            _ = Libc.close(socket);
        }
    }

    private static int SendOn(int socket, string path, ReadOnlySpan<byte> payload, ReadOnlySpan<int> descriptors)
    {
        // unix(7): two bytes of family, then the path; an abstract name begins with NUL.
        byte* address = stackalloc byte[110];
        new Span<byte>(address, 110).Clear();
        *(ushort*)address = Libc.AF_UNIX;
        int length = 2 + Encoding.UTF8.GetBytes(path, new Span<byte>(address + 2, 107));
        if (address[2] == '@')
            address[2] = 0;

        // cmsg(3): a header of 16 bytes, then the numbers, filled up to 8.
        int dataBytes = descriptors.Length * sizeof(int);
        byte[] control = new byte[descriptors.Length == 0 ? 0 : 16 + ((dataBytes + 7) & ~7)];
        if (descriptors.Length > 0)
        {
            MemoryMarshal.Write(control, (ulong)(16 + dataBytes));
            MemoryMarshal.Write(control.AsSpan(8), Libc.SOL_SOCKET);
            MemoryMarshal.Write(control.AsSpan(12), Libc.SCM_RIGHTS);
            MemoryMarshal.AsBytes(descriptors).CopyTo(control.AsSpan(16));
        }

        fixed (byte* data = payload)
        fixed (byte* rights = control)
        {
            Libc.iovec vector = new() { iov_base = data, iov_len = (nuint)payload.Length };
            Libc.msghdr message = new()
            {
                msg_name = address,
                msg_namelen = (uint)length,
                msg_iov = &vector,
                msg_iovlen = 1,
                msg_control = rights,
                msg_controllen = (nuint)control.Length,
            };
            nint sent;
            do
                sent = Libc.sendmsg(socket, &message, 0);
            while (sent < 0 && Marshal.GetLastPInvokeError() == Libc.EINTR);
            return sent < 0 ? Marshal.GetLastPInvokeError() : 0;
        }
    }
}
