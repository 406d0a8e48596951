using System.Globalization;
using Launchd.Interop;
using Launchd.Linux.Spawning;
using Launchd.Model;

namespace Launchd.Host.Provisioning;

/// <summary>The room for arguments and environment, execve(2): so much for each, and so much for all together.</summary>
internal static unsafe class ArgumentSpace
{
    /// <summary>MAX_ARG_STRLEN: 32 pages, with the final NUL.</summary>
    private static readonly long MostForOne = 32L * Environment.SystemPageSize;

    // The kernel gives a quarter of the limit of the stack, at most three quarters of 8 MiB, and at least 32 pages.
    private const long MostForAll = 6L << 20;

    /// <summary>Why the kernel says E2BIG. Null: that cannot be told.</summary>
    public static string? Explain(SpawnRequest request)
    {
        long sum = 0;
        for (int i = 0; i < request.Arguments.Count; i++)
        {
            long length = KernelText.ByteCount(request.Arguments[i]) + 1;
            if (length > MostForOne)
                return TooLong(NameOf(i), length);
            sum += length + sizeof(nint);
        }
        foreach (string variable in request.Environment)
        {
            long length = KernelText.ByteCount(variable) + 1;
            if (length > MostForOne)
                return TooLong($"the variable {variable[..variable.IndexOf('=')]}", length);
            sum += length + sizeof(nint);
        }
        long most = MostOf(request);
        return sum < most / 2 ? null
            : $"its arguments and its environment have {Text(sum)} bytes together, and may have {Text(most)}, a quarter of the limit "
                + "of the stack and at most 6 MiB: raise limits.stack, or pass it in a file";
    }

    /// <summary>Which argument or variable is longer than one may be. Null: none.</summary>
    /// <param name="arguments">As configured.</param>
    /// <param name="variables">Names and values; of those that are not known yet nothing is said.</param>
    public static string? TooLongOf(IReadOnlyList<string> arguments, IEnumerable<(string Name, string Value)> variables)
    {
        for (int i = 0; i < arguments.Count; i++)
        {
            if (KernelText.ByteCount(arguments[i]) + 1 is var length && length > MostForOne)
                return TooLong(NameOf(i), length);
        }
        foreach ((string name, string value) in variables)
        {
            if (KernelText.ByteCount(name) + KernelText.ByteCount(value) + 2 is var length && length > MostForOne)
                return TooLong($"the variable {name}", length);
        }
        return null;
    }

    private static string NameOf(int argument) => argument == 0 ? "the program's name" : $"argument {argument}";

    private static string TooLong(string what, long length) =>
        $"{what} has {Text(length)} bytes, and one may have {Text(MostForOne)}: pass it in a file";

    private static long MostOf(SpawnRequest request)
    {
        ulong soft = OwnLimit.Of(ResourceKind.Stack).Soft;
        foreach ((int resource, ulong own, _) in request.Limits)
        {
            if (resource == (int)ResourceKind.Stack)
                soft = own;
        }
        return Math.Max(MostForOne, (long)Math.Min(soft / 4, (ulong)MostForAll));
    }

    private static string Text(long bytes) => bytes.ToString(CultureInfo.InvariantCulture);
}
