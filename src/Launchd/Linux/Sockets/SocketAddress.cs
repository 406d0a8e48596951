using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Tmds.Linux;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Sockets;

/// <summary>A kernel socket address of any family: its bytes, and what can be read from them.</summary>
internal sealed unsafe class SocketAddress
{
    /// <summary>Longest path of a Unix socket, unix(7): 108 bytes with the NUL.</summary>
    public const int LongestUnixPathBytes = 107;

    private const int FamilyBytes = sizeof(ushort);
    private const int StorageBytes = 128;
    private readonly byte[] _bytes;

    private SocketAddress(byte[] bytes)
    {
        _bytes = bytes;
    }

    public ReadOnlySpan<byte> Bytes => _bytes;
    public int Family => _bytes.Length < FamilyBytes ? 0 : MemoryMarshal.Read<ushort>(_bytes);

    /// <summary>Port of an IP address in host order; 0 for other families.</summary>
    public int Port => IsInternet ? BinaryPrimitives.ReadUInt16BigEndian(_bytes.AsSpan(2)) : 0;

    /// <summary>Port of a vsock address; 0 for other families.</summary>
    public uint VsockPort => Family == Libc.AF_VSOCK ? MemoryMarshal.Read<Libc.sockaddr_vm>(_bytes).svm_port : 0;

    /// <summary>Context id of a vsock address, VMADDR_CID_ANY for any; 0 for other families.</summary>
    public uint VsockCid => Family == Libc.AF_VSOCK ? MemoryMarshal.Read<Libc.sockaddr_vm>(_bytes).svm_cid : 0;

    private bool IsInternet => Family is Libc.AF_INET or Libc.AF_INET6;

    public IPAddress Host => Family switch
    {
        Libc.AF_INET => new IPAddress(_bytes.AsSpan(4, 4)),
        Libc.AF_INET6 => new IPAddress(_bytes.AsSpan(8, 16), MemoryMarshal.Read<uint>(_bytes.AsSpan(24))),
        _ => throw new InvalidOperationException($"a socket address of family {Family} has no host"),
    };

    /// <summary>Path or <c>@name</c> of a Unix socket, null when it has none; control characters as they are.</summary>
    public string? UnixName
    {
        get
        {
            if (Family != Libc.AF_UNIX || _bytes.Length <= FamilyBytes)
                return null;
            ReadOnlySpan<byte> name = _bytes.AsSpan(FamilyBytes);
            if (name[0] == 0)
                return "@" + KernelText.Decode(name[1..]);
            int end = name.IndexOf((byte)0);
            return KernelText.Decode(end < 0 ? name : name[..end]);
        }
    }

    /// <summary>
    /// The value of REMOTE_ADDR for programs that are started for a connection: an IP address (that of an IPv4 client is IPv4 also at an
    /// IPv6 socket); <c>vsock:CID</c>; path or <c>@name</c>, with what is not printable ASCII as <c>\ooo</c>. Null: it has none.
    /// </summary>
    public string? RemoteHost => Family switch
    {
        Libc.AF_INET or Libc.AF_INET6 => Unmapped(Host).ToString(),
        Libc.AF_VSOCK => $"vsock:{MemoryMarshal.Read<Libc.sockaddr_vm>(_bytes).svm_cid}",
        Libc.AF_UNIX => EscapedName(),
        _ => null,
    };

    /// <summary>The value of REMOTE_PORT; null where there are no ports.</summary>
    public uint? RemotePort => Family switch
    {
        Libc.AF_INET or Libc.AF_INET6 => (uint)Port,
        Libc.AF_VSOCK => MemoryMarshal.Read<Libc.sockaddr_vm>(_bytes).svm_port,
        _ => null,
    };

    public static SocketAddress Internet(IPAddress host, int port)
    {
        bool isV6 = host.AddressFamily == AddressFamily.InterNetworkV6;
        byte[] bytes = new byte[isV6 ? 28 : 16];
        MemoryMarshal.Write(bytes, (ushort)(isV6 ? Libc.AF_INET6 : Libc.AF_INET));
        BinaryPrimitives.WriteUInt16BigEndian(bytes.AsSpan(2), checked((ushort)port));
        host.TryWriteBytes(bytes.AsSpan(isV6 ? 8 : 4), out _);
        if (isV6)
            MemoryMarshal.Write(bytes.AsSpan(24), (uint)host.ScopeId);
        return new SocketAddress(bytes);
    }

    /// <summary>Null when the path is too long for an address.</summary>
    public static SocketAddress? UnixPath(string path)
    {
        byte[] text = CString.From(path);
        return text.Length - 1 > LongestUnixPathBytes ? null : Unix(text);
    }

    /// <summary>An abstract name has a NUL before it and none behind. Null when it is too long.</summary>
    public static SocketAddress? UnixAbstract(string name)
    {
        byte[] text = new byte[KernelText.ByteCount(name) + 1];
        _ = KernelText.Encode(name, text.AsSpan(1));
        return text.Length > LongestUnixPathBytes + 1 ? null : Unix(text);
    }

    public static SocketAddress Netlink(uint groupMask)
    {
        var address = new Libc.sockaddr_nl { nl_family = Libc.AF_NETLINK, nl_groups = groupMask };
        return new SocketAddress(MemoryMarshal.AsBytes(new ReadOnlySpan<Libc.sockaddr_nl>(in address)).ToArray());
    }

    public static SocketAddress Vsock(uint? cid, uint port)
    {
        var address = new Libc.sockaddr_vm { svm_family = Libc.AF_VSOCK, svm_cid = cid ?? Libc.VMADDR_CID_ANY, svm_port = port };
        return new SocketAddress(MemoryMarshal.AsBytes(new ReadOnlySpan<Libc.sockaddr_vm>(in address)).ToArray());
    }

    /// <summary>What a socket is bound to, getsockname(2); null when it is no socket.</summary>
    public static SocketAddress? OfSocket(FileDescriptor socket)
    {
        byte* storage = stackalloc byte[StorageBytes];
        socklen_t length = StorageBytes;
        return getsockname(socket.Number, (sockaddr*)storage, &length) < 0 ? null : Copy(storage, length);
    }

    /// <summary>What a socket is connected to, getpeername(2); null when it is not.</summary>
    public static SocketAddress? OfPeer(FileDescriptor socket)
    {
        byte* storage = stackalloc byte[StorageBytes];
        socklen_t length = StorageBytes;
        return getpeername(socket.Number, (sockaddr*)storage, &length) < 0 ? null : Copy(storage, length);
    }

    public Errno Bind(FileDescriptor socket)
    {
        fixed (byte* start = _bytes)
            return bind(socket.Number, (sockaddr*)start, (uint)_bytes.Length) < 0 ? Errno.Last : Errno.None;
    }

    public Errno Connect(FileDescriptor socket)
    {
        fixed (byte* start = _bytes)
            return connect(socket.Number, (sockaddr*)start, (uint)_bytes.Length) < 0 ? Errno.Last : Errno.None;
    }

    /// <summary>Host and port, path, or whatever the family has, without a scheme.</summary>
    public override string ToString() => Family switch
    {
        Libc.AF_INET or Libc.AF_INET6 => new IPEndPoint(Host, Port).ToString(),
        Libc.AF_UNIX => UnixName ?? "",
        Libc.AF_VSOCK => VsockText(MemoryMarshal.Read<Libc.sockaddr_vm>(_bytes)),
        Libc.AF_NETLINK => MemoryMarshal.Read<Libc.sockaddr_nl>(_bytes).nl_groups.ToString(),
        _ => "",
    };

    private static IPAddress Unmapped(IPAddress address) => address.IsIPv4MappedToIPv6 ? address.MapToIPv4() : address;

    // The client chooses its name, and an abstract one may hold any bytes, NUL and line feeds among them.
    private string? EscapedName()
    {
        if (_bytes.Length <= FamilyBytes)
            return null;
        ReadOnlySpan<byte> name = _bytes.AsSpan(FamilyBytes);
        bool isAbstract = name[0] == 0;
        int end = isAbstract ? name.Length : name.IndexOf((byte)0);
        StringBuilder text = new();
        foreach (byte one in name[..(end < 0 ? name.Length : end)])
        {
            if (one is >= (byte)' ' and <= (byte)'~' and not (byte)'\\')
                text.Append((char)one);
            else
                text.Append('\\').Append(Convert.ToString(one, 8).PadLeft(3, '0'));
        }
        if (isAbstract)
            text.Remove(0, 4).Insert(0, '@');
        return text.ToString();
    }

    private static string VsockText(Libc.sockaddr_vm address) =>
        $"{(address.svm_cid == Libc.VMADDR_CID_ANY ? "*" : address.svm_cid.ToString())}:{address.svm_port}";

    private static SocketAddress Unix(ReadOnlySpan<byte> name)
    {
        byte[] bytes = new byte[FamilyBytes + name.Length];
        MemoryMarshal.Write(bytes, (ushort)Libc.AF_UNIX);
        name.CopyTo(bytes.AsSpan(FamilyBytes));
        return new SocketAddress(bytes);
    }

    private static SocketAddress Copy(byte* storage, uint length) =>
        new(new ReadOnlySpan<byte>(storage, (int)Math.Min(length, StorageBytes)).ToArray());
}
