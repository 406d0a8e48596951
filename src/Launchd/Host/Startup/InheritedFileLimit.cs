using System.Globalization;
using System.Runtime.CompilerServices;
using Launchd.Host.Provisioning;
using Launchd.Interop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Model;

namespace Launchd.Host.Startup;

/// <summary>
/// The soft limit of descriptors that this process was started with. The native binary still has it. Under the JIT the runtime raises it to
/// the hard one before any code of ours runs, and the kernel keeps no trace of the former value; but whoever started us has it still.
/// </summary>
internal static class InheritedFileLimit
{
    private static (ulong Soft, ulong Hard)? _raised;

    /// <summary>Raises the soft limit of this process to the hard one, the first time. Returns what both were before.</summary>
    public static unsafe (ulong Soft, ulong Hard) Raise()
    {
        if (_raised is { } before)
            return before;
        (ulong soft, ulong hard) = OwnLimit.Of(ResourceKind.Nofile);
        ulong* limit = stackalloc ulong[2] { hard, hard };
        _ = Libc.setrlimit((int)ResourceKind.Nofile, limit);
        _raised = (Soft(soft, hard), hard);
        return _raised.Value;
    }

    /// <param name="soft">The present soft limit, in descriptors.</param>
    /// <param name="hard">The present hard limit.</param>
    public static ulong Soft(ulong soft, ulong hard)
    {
        if (!RuntimeFeature.IsDynamicCodeSupported || soft != hard)
            return soft;
        int pid = Libc.getpid();
        for (int depth = 0; depth < 64 && ProcessFacts.Read(pid) is { Parent: > 0 } facts; depth++)
        {
            pid = facts.Parent;
            // A parent with another hard limit tells nothing: between it and us somebody set both. One that is a .NET program as well
            // (dotnet run) has raised its own, and so its parent is asked.
            if (Read(pid) is not { } limits || limits.Hard != hard)
                return soft;
            if (limits.Soft < hard)
                return limits.Soft;
        }
        return soft;
    }

    /// <summary>The line "Max open files  SOFT  HARD  files" of proc_pid_limits(5).</summary>
    private static (ulong Soft, ulong Hard)? Read(int pid) => Files.ReadText($"/proc/{pid}/limits") is { } text ? Parse(text) : null;

    public static (ulong Soft, ulong Hard)? Parse(string text)
    {
        const string title = "Max open files";
        string? line = text.Split('\n').FirstOrDefault(l => l.StartsWith(title, StringComparison.Ordinal));
        string[] fields = line?[title.Length..].Split(' ', StringSplitOptions.RemoveEmptyEntries) ?? [];
        return fields.Length >= 2 && Number(fields[0]) is { } soft && Number(fields[1]) is { } hard ? (soft, hard) : null;
    }

    private static ulong? Number(string text) => text == "unlimited" ? ulong.MaxValue
        : ulong.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out ulong number) ? number : null;
}
