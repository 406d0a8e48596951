using Launchd.Client;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Sockets;

/// <summary>Classic packet filters: a few instructions that the kernel runs for each packet, socket(7) and bpf(2).</summary>
internal static unsafe class PacketFilter
{
    private const ushort LoadByte = 0x30, And = 0x54, JumpIfEqual = 0x15, Return = 0x06;

    /// <summary>Where the flags lie in a TCP header, at which a filter of a TCP socket begins.</summary>
    private const uint TcpFlags = 13;
    private const uint Syn = 0x02, Ack = 0x10;

    /// <summary>Drops packets that ask for a new connection. Packets of a connection, even of a half-open one, pass.</summary>
    public static ReadOnlySpan<Instruction> NoNewConnections => (Instruction[])
    [
        new Instruction(LoadByte, 0, 0, TcpFlags), new Instruction(And, 0, 0, Syn | Ack),
        new Instruction(JumpIfEqual, 0, 1, Syn), Answer(0),
        Answer(uint.MaxValue),
    ];

    /// <summary>Drops everything.</summary>
    public static ReadOnlySpan<Instruction> Nothing => (Instruction[])[Answer(0)];

    /// <summary>Ends the program: how many bytes of the packet pass, or which socket of a group gets it.</summary>
    public static Instruction Answer(uint value) => new(Return, 0, 0, value);

    /// <param name="socket">Borrowed. A program that was attached before is replaced.</param>
    /// <param name="option">SO_ATTACH_FILTER or SO_ATTACH_REUSEPORT_CBPF.</param>
    /// <param name="program">Not empty.</param>
    /// <returns>EPERM: a holder has locked the socket's filter.</returns>
    public static Errno Attach(FileDescriptor socket, int option, ReadOnlySpan<Instruction> program)
    {
        fixed (Instruction* first = program)
        {
            // struct sock_fprog: the count, and behind its padding the address.
            nuint* argument = stackalloc nuint[2];
            argument[0] = (nuint)program.Length;
            argument[1] = (nuint)first;
            return setsockopt(socket.Number, SOL_SOCKET, option, argument, (uint)(2 * sizeof(nuint))) < 0 ? Errno.Last : Errno.None;
        }
    }

    public static void Detach(FileDescriptor socket)
    {
        int none = 0;
        // ENOENT: there was no filter.
        _ = setsockopt(socket.Number, SOL_SOCKET, SO_DETACH_FILTER, &none, sizeof(int));
    }

    /// <summary>struct sock_filter: operation, where to jump if true or false, and its number.</summary>
    internal readonly record struct Instruction(ushort Operation, byte IfTrue, byte IfFalse, uint Number);
}
