using System.Text;

namespace Launchd.IntegrationTests.Support;

/// <summary>
/// A program for seccomp(2), in the machine's own byte order, that answers one system call with an error and lets all others pass.
/// </summary>
internal sealed class CallFilter
{
    private const ushort Load = 0x20, JumpIfEqual = 0x15, Answer = 0x06;
    private const uint Allow = 0x7fff0000, Refuse = 0x00050000;

    // struct seccomp_data: the call's number first, its arguments from byte 16 on, eight bytes each.
    private const uint FirstArgument = 16, ArgumentBytes = 8;

    private readonly List<(ushort Code, byte Yes, byte No, uint Operand)> _program = [];

    private CallFilter()
    {
    }

    /// <param name="call">Its number on this architecture.</param>
    /// <param name="errno">The answer; EPERM by default.</param>
    /// <param name="argument">Only with this value (32 bits) of the argument, counted from 0. Null: in any case.</param>
    public static CallFilter Refusing(int call, int errno = 1, (int Index, uint Value)? argument = null)
    {
        CallFilter filter = new();
        byte rest = (byte)(argument is null ? 1 : 3);
        filter._program.Add((Load, 0, 0, 0));
        filter._program.Add((JumpIfEqual, 0, rest, (uint)call));
        if (argument is (int index, uint value))
        {
            filter._program.Add((Load, 0, 0, FirstArgument + ((uint)index * ArgumentBytes)));
            filter._program.Add((JumpIfEqual, 0, 1, value));
        }
        filter._program.Add((Answer, 0, 0, Refuse | (uint)errno));
        filter._program.Add((Answer, 0, 0, Allow));
        return filter;
    }

    /// <summary>The words before a command that is to run below the filter (bwrap(1)), which is written into the directory.</summary>
    public string[] Around(TemporaryDirectory directory)
    {
        using (BinaryWriter writer = new(File.Create(directory["filter"]), Encoding.ASCII))
        {
            foreach ((ushort code, byte yes, byte no, uint operand) in _program)
            {
                writer.Write(code);
                writer.Write(yes);
                writer.Write(no);
                writer.Write(operand);
            }
        }
        return ["/bin/sh", "-c", $"exec bwrap --dev-bind / / --cap-add ALL --seccomp 9 -- \"$@\" 9<{directory["filter"]}", "sh"];
    }
}
