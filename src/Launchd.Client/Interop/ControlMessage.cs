using System.Runtime.InteropServices;

namespace Launchd.Client.Interop;

/// <summary>
/// Control messages, cmsg(3), over spans: what goes beside the bytes of a sendmsg(2) or recvmsg(2). The one place where their layout is
/// known. A header is a <c>size_t</c> length (header included, padding not) and two <c>int</c>s; each header starts aligned to the word.
/// </summary>
internal static class ControlMessage
{
    public const int SOL_SOCKET = 1;
    public const int SCM_RIGHTS = 1;
    public const int SCM_CREDENTIALS = 2;
    public const int SCM_SECURITY = 3;
    public const int SCM_PIDFD = 4;

    /// <summary>SCM_MAX_FD: most descriptors in all headers of one message; one more is EINVAL.</summary>
    public const int MaxDescriptorCount = 253;

    /// <summary>Size of <c>struct ucred</c>: pid, uid, gid.</summary>
    public const int CredentialsBytes = 3 * sizeof(int);

    // Longest label that SELinux and Smack give in practice; a longer one only sets MSG_CTRUNC.
    private const int SecurityLabelBytes = 256;

    /// <summary>Size of the aligned header, 16 on 64-bit.</summary>
    public static int HeaderBytes => Align(IntPtr.Size + 2 * sizeof(int));

    /// <summary>
    /// Room that holds whatever the kernel may attach at once: all descriptors, credentials, pidfd, security label. Always receive with
    /// it: a shorter buffer makes the kernel cut the list.
    /// </summary>
    public static int ReceiveBytes =>
        Space(MaxDescriptorCount * sizeof(int)) + Space(CredentialsBytes) + Space(sizeof(int)) + Space(SecurityLabelBytes);

    /// <summary>CMSG_LEN: what stands in the header for so many bytes of data.</summary>
    public static int Length(int dataBytes) => HeaderBytes + dataBytes;

    /// <summary>CMSG_SPACE: what so many bytes of data take, padding included.</summary>
    public static int Space(int dataBytes) => HeaderBytes + Align(dataBytes);

    private static int Align(int bytes) => (bytes + IntPtr.Size - 1) & ~(IntPtr.Size - 1);

    /// <summary>Writes one SCM_RIGHTS header; the descriptors are borrowed. Returns the bytes used, 0 for none.</summary>
    public static int WriteRights(Span<byte> control, ReadOnlySpan<int> numbers)
    {
        if (numbers.IsEmpty)
            return 0;
        ArgumentOutOfRangeException.ThrowIfGreaterThan(numbers.Length, MaxDescriptorCount);
        return Write(control, SCM_RIGHTS, MemoryMarshal.AsBytes(numbers));
    }

    /// <summary>Writes one header of level SOL_SOCKET. Returns the bytes used, padding included.</summary>
    public static int Write(Span<byte> control, int type, ReadOnlySpan<byte> data)
    {
        int space = Space(data.Length);
        control[..space].Clear();
        MemoryMarshal.Write(control, (nuint)Length(data.Length));
        MemoryMarshal.Write(control[IntPtr.Size..], SOL_SOCKET);
        MemoryMarshal.Write(control[(IntPtr.Size + sizeof(int))..], type);
        data.CopyTo(control[HeaderBytes..]);
        return space;
    }

    /// <summary>
    /// Walks all headers of a received buffer (already cut to <c>msg_controllen</c>) and takes every descriptor in it into an owner,
    /// before anyone looks at MSG_CTRUNC. The caller owns what is in the result.
    /// </summary>
    /// <param name="control">What was received.</param>
    /// <param name="closer">Closes the descriptors when their owners are disposed; null: the thread that disposes them does.</param>
    public static ReceivedControl Take(ReadOnlySpan<byte> control, IDescriptorCloser? closer = null)
    {
        var taken = new ReceivedControl();
        while (TryRead(ref control, out int level, out int type, out ReadOnlySpan<byte> data))
        {
            taken.HeaderCount++;
            if (level != SOL_SOCKET)
                continue;
            if (type == SCM_RIGHTS)
                TakeRights(data, closer, ref taken);
            else if (type == SCM_PIDFD && data.Length >= sizeof(int))
                TakePidfd(MemoryMarshal.Read<int>(data), ref taken);
            else if (type == SCM_CREDENTIALS && data.Length >= CredentialsBytes)
                ReadCredentials(data, ref taken);
        }
        return taken;
    }

    /// <summary>
    /// Reads the next header and moves on behind it. Never past the buffer: a header whose length is shorter than itself, or longer than
    /// what was received, ends the walk.
    /// </summary>
    public static bool TryRead(ref ReadOnlySpan<byte> rest, out int level, out int type, out ReadOnlySpan<byte> data)
    {
        level = type = 0;
        data = default;
        if (rest.Length < HeaderBytes)
            return false;
        nuint length = MemoryMarshal.Read<nuint>(rest);
        if (length < (nuint)HeaderBytes || length > (nuint)rest.Length)
            return false;
        level = MemoryMarshal.Read<int>(rest[IntPtr.Size..]);
        type = MemoryMarshal.Read<int>(rest[(IntPtr.Size + sizeof(int))..]);
        data = rest[HeaderBytes..(int)length];
        rest = rest[Math.Min(Align((int)length), rest.Length)..];
        return true;
    }

    private static void TakeRights(ReadOnlySpan<byte> data, IDescriptorCloser? closer, ref ReceivedControl taken)
    {
        ReadOnlySpan<int> numbers = MemoryMarshal.Cast<byte, int>(data);
        if (numbers.IsEmpty)
            return;
        var owners = new FileDescriptor[numbers.Length];
        int count = 0;
        foreach (int number in numbers)
        {
            // A slot that a security module denied holds a negative error number instead (SO_RIGHTS_NOTRUNC).
            if (number < 0)
                taken.HasDenied = true;
            else
                owners[count++] = new FileDescriptor(number, closer);
        }
        taken.Descriptors = taken.Descriptors.With(owners.AsSpan(0, count));
    }

    private static void TakePidfd(int number, ref ReceivedControl taken)
    {
        if (number < 0)
            return;
        taken.Pidfd?.Dispose();
        taken.Pidfd = new FileDescriptor(number);
    }

    private static void ReadCredentials(ReadOnlySpan<byte> data, ref ReceivedControl taken)
    {
        taken.HasCredentials = true;
        taken.Pid = MemoryMarshal.Read<int>(data);
        taken.Uid = MemoryMarshal.Read<uint>(data[sizeof(int)..]);
        taken.Gid = MemoryMarshal.Read<uint>(data[(2 * sizeof(int))..]);
    }
}

/// <summary>
/// Everything that came beside the bytes of one message. The holder owns <see cref="Descriptors"/> and <see cref="Pidfd"/>.
/// </summary>
internal struct ReceivedControl
{
    /// <summary>All headers, known or not.</summary>
    public int HeaderCount;
    public bool HasCredentials;
    public int Pid;
    public uint Uid;
    public uint Gid;
    public ReceivedDescriptors Descriptors;
    public FileDescriptor? Pidfd;

    /// <summary>A security module kept one of the sent descriptors back.</summary>
    public bool HasDenied;

    /// <summary>
    /// Nobody sent anything: together with 0 bytes this is end-of-file on a socket with SO_PASSCRED. The kernel says so by no header on a
    /// socket of messages, and by the credentials of process 0 on a stream.
    /// </summary>
    public readonly bool IsBare => HeaderCount == 0 || (HeaderCount == 1 && HasCredentials && Pid == 0);

    /// <summary>Closes everything.</summary>
    public void Close()
    {
        Descriptors.Dispose();
        Descriptors = default;
        Pidfd?.Dispose();
        Pidfd = null;
    }
}
