using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;

namespace Launchd.Linux.Processes;

/// <summary>The program that takes the place of this process, execve(2).</summary>
internal static unsafe class Successor
{
    private const int SIGPIPE = 13;

    /// <summary>
    /// Puts a descriptor at a number and executes a program, which is looked for in PATH as execvp(3) does. Returns only when that fails:
    /// ENOENT, there is no such program; else why the last candidate failed.
    /// </summary>
    /// <param name="arguments">The program first.</param>
    /// <param name="environment"><c>NAME=VALUE</c>, all of it.</param>
    /// <param name="descriptorTaken">Its own number is closed by the execution.</param>
    /// <param name="number">Where the program finds it.</param>
    public static Errno Execute(string[] arguments, IReadOnlyList<string> environment, FileDescriptor descriptorTaken, int number)
    {
        if (descriptorTaken.Number == number)
        {
            // dup3(2) refuses a number onto itself; F_SETFD 0 lets it through the execution.
            if (Libc.fcntl(number, 2, 0) < 0)
                return Errno.Last;
        }
        else if (Libc.dup3(descriptorTaken.Number, number, 0) < 0)
        {
            return Errno.Last;
        }
        // The runtime ignores SIGPIPE, and the program would inherit that.
        _ = Libc.signal(SIGPIPE, 0);
        string program = arguments[0];
        string path = OwnStart.Variable("PATH") is { Length: > 0 } given ? given : "/usr/local/bin:/usr/bin:/bin";
        string[] candidates = program.Contains('/') ? [program]
            : [.. path.Split(':', StringSplitOptions.RemoveEmptyEntries).Select(directory => $"{directory.TrimEnd('/')}/{program}")];
        byte** argumentBlock = Block(arguments), environmentBlock = Block(environment);
        Errno refused = Errno.ENOENT;
        foreach (string candidate in candidates)
        {
            fixed (byte* file = CString.From(candidate))
                _ = Libc.execve(file, argumentBlock, environmentBlock);
            if (Errno.Last != Errno.ENOENT && Errno.Last != Errno.ENOTDIR)
                refused = Errno.Last;
        }
        return refused;
    }

    private static byte** Block(IReadOnlyList<string> texts)
    {
        // Never freed: an execution replaces this memory, and after a failed one the process ends.
        byte** block = (byte**)NativeMemory.AllocZeroed((nuint)texts.Count + 1, (nuint)sizeof(byte*));
        for (int i = 0; i < texts.Count; i++)
        {
            int length = KernelText.ByteCount(texts[i]);
            block[i] = (byte*)NativeMemory.AllocZeroed((nuint)length + 1);
            _ = KernelText.Encode(texts[i], new Span<byte>(block[i], length));
        }
        return block;
    }
}
