using System.Buffers.Binary;
using System.Net;
using System.Runtime.InteropServices;
using Launchd.Interop;

namespace Launchd.Linux.Sockets;

/// <summary>The TCP sockets of this network namespace that listen, as sock_diag(7) tells. From any thread.</summary>
internal static unsafe class ListeningPorts
{
    /// <summary>Their addresses by their inodes. Null: the kernel does not tell.</summary>
    public static Dictionary<ulong, IPEndPoint>? All()
    {
        Dictionary<ulong, IPEndPoint> all = [];
        return Add(all, Libc.AF_INET) && Add(all, Libc.AF_INET6) ? all : null;
    }

    private static bool Add(Dictionary<ulong, IPEndPoint> all, int family)
    {
        Libc.inet_diag_req_v2 question = default;
        question.sdiag_family = (byte)family;
        question.sdiag_protocol = 6;
        question.idiag_states = 1u << Libc.TCP_LISTEN;
        bool? isTold = SockDiag.Ask(question, isDump: true, body =>
        {
            if (body.Length < sizeof(Libc.inet_diag_msg))
                return false;
            Libc.inet_diag_msg socket = MemoryMarshal.Read<Libc.inet_diag_msg>(body);
            ReadOnlySpan<byte> host = new(socket.id.idiag_src, family == Libc.AF_INET ? 4 : 16);
            int port = BitConverter.IsLittleEndian ? BinaryPrimitives.ReverseEndianness(socket.id.idiag_sport) : socket.id.idiag_sport;
            all[socket.idiag_inode] = new IPEndPoint(new IPAddress(host), port);
            return false;
        });
        return isTold is not null;
    }
}
