using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Processes;

/// <summary>
/// What this process was started with, byte for byte. The runtime takes all of it for UTF-8 and puts U+FFFD in the place of what is none,
/// so that a path or a variable with such bytes would reach a program as another one.
/// </summary>
internal static unsafe class OwnStart
{
    private const char Replacement = '\uFFFD';

    // What KernelText keeps as bytes, because it means something to the configuration.
    private const char Reserved = '\uE000';

    /// <summary>
    /// The variable by which the keeper and the supervisor know each other. It is in no <see cref="Environment"/>, so that nothing that is
    /// started has it.
    /// </summary>
    public const string KeeperVariable = "LAUNCHD_KEEPER";

    private static readonly Lazy<Dictionary<string, string>> Variables = new(Read);
    private static string? _keeper;

    /// <summary>
    /// The environment without <see cref="KeeperVariable"/>. Of two variables of one name the first counts, as in getenv(3).
    /// </summary>
    public static IReadOnlyDictionary<string, string> Environment => Variables.Value;

    /// <summary>What <see cref="KeeperVariable"/> says; null: it is not set.</summary>
    public static string? Keeper => Environment.Count >= 0 ? _keeper : null;

    /// <summary>A variable of the environment; null: it is not set.</summary>
    public static string? Variable(string name) => Environment.GetValueOrDefault(name);

    /// <summary>The arguments as they were given.</summary>
    /// <param name="decoded">As the runtime has them.</param>
    public static string[] Arguments(string[] decoded)
    {
        if (!decoded.Any(a => a.AsSpan().ContainsAny(Replacement, Reserved)))
            return decoded;
        // The program, and with the JIT its host, come first.
        return CommandLine() is { } words && words.Length >= decoded.Length ? words[^decoded.Length..] : decoded;
    }

    /// <summary>All words of the command line, the program first; null: they cannot be read.</summary>
    public static string[]? CommandLine()
    {
        using FileDescriptor? file = Files.OpenToRead("/proc/self/cmdline", out _);
        if (file is null || Files.ReadBytes(file, int.MaxValue, out _) is not { Length: > 0 } line)
            return null;
        List<string> words = [];
        // The last word ends with a NUL, behind which there is nothing.
        foreach (Range word in line.AsSpan(0, line.Length - 1).Split((byte)0))
            words.Add(KernelText.Decode(line.AsSpan()[word]));
        return [.. words];
    }

    /// <summary>The absolute path of the working directory, getcwd(3). Null with the reason: it was removed, or may not be seen.</summary>
    public static string? WorkingDirectory(out Errno refused)
    {
        const int room = 4096;
        byte* path = stackalloc byte[room];
        refused = Libc.getcwd(path, room) == null ? Errno.Last : Errno.None;
        // The kernel writes "(unreachable)" before the path of a directory that lies outside of the root.
        if (refused == Errno.None && *path != (byte)'/')
            refused = Errno.ENOENT;
        return refused == Errno.None ? KernelText.Decode(MemoryMarshal.CreateReadOnlySpanFromNullTerminated(path)) : null;
    }

    private static Dictionary<string, string> Read()
    {
        Dictionary<string, string> read = new(StringComparer.Ordinal);
        // environ(7). The kernel's own record, /proc/self/environ, is not there without /proc, nor for a process that is not dumpable.
        byte** at = *(byte***)NativeLibrary.GetExport(NativeLibrary.GetMainProgramHandle(), "environ");
        for (; at != null && *at != null; at++)
        {
            ReadOnlySpan<byte> variable = MemoryMarshal.CreateReadOnlySpanFromNullTerminated(*at);
            if (variable.IndexOf((byte)'=') is > 0 and int equals)
                read.TryAdd(KernelText.Decode(variable[..equals]), KernelText.Decode(variable[(equals + 1)..]));
        }
        _ = read.Remove(KeeperVariable, out _keeper);
        return read;
    }
}
