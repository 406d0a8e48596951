using Xunit;

namespace Launchd.IntegrationTests.Support;

/// <summary>A test that needs root; skipped with the reason otherwise.</summary>
public sealed class FactWhenRootAttribute : FactAttribute
{
    public FactWhenRootAttribute()
    {
        if (!Environment.IsPrivilegedProcess)
            Skip = "needs root";
    }
}

/// <summary>A test that needs a program in PATH; skipped with the reason otherwise.</summary>
public sealed class FactWhenToolAttribute : FactAttribute
{
    public FactWhenToolAttribute(string tool)
    {
        string path = Environment.GetEnvironmentVariable("PATH") ?? "";
        if (!path.Split(':').Any(directory => File.Exists(Path.Combine(directory, tool))))
            Skip = $"needs the program '{tool}' in PATH";
    }
}

/// <summary>The same for a theory.</summary>
public sealed class TheoryWhenToolAttribute : TheoryAttribute
{
    public TheoryWhenToolAttribute(string tool)
    {
        Skip = new FactWhenToolAttribute(tool).Skip;
    }
}

/// <summary>A test that needs a kernel at least so new; skipped with the reason otherwise.</summary>
public sealed class FactWhenKernelAttribute : FactAttribute
{
    public FactWhenKernelAttribute(int major, int minor)
    {
        Version running = Environment.OSVersion.Version;
        if (running < new Version(major, minor))
            Skip = $"needs Linux {major}.{minor}, this is {running}";
    }
}

/// <summary>
/// A test that needs memory that does not come, userfaultfd(2), for which it needs root, and python3; skipped with the reason otherwise.
/// </summary>
public sealed class FactWhenUserFaultsAttribute : FactAttribute
{
    public FactWhenUserFaultsAttribute()
    {
        Skip = File.Exists("/proc/sys/vm/unprivileged_userfaultfd")
            ? new FactWhenRootAndToolAttribute("python3").Skip
            : "needs a kernel with userfaultfd(2)";
    }
}

/// <summary>
/// A test that needs the shares of sessions, sched(7), CAP_SYS_NICE to raise one, and setsid; skipped with the reason otherwise.
/// </summary>
public sealed class FactWhenAutogroupsAttribute : FactAttribute
{
    public FactWhenAutogroupsAttribute()
    {
        Skip = File.Exists("/proc/self/autogroup")
            ? new FactWhenToolAttribute("setsid").Skip ?? Capabilities.WhyWithout(Capability.CAP_SYS_NICE)
            : "needs a kernel with groups of processes by session (sched_autogroup)";
    }
}

/// <summary>A test that needs root and a program; skipped with the reason otherwise.</summary>
public sealed class FactWhenRootAndToolAttribute : FactAttribute
{
    public FactWhenRootAndToolAttribute(string tool)
    {
        Skip = new FactWhenToolAttribute(tool).Skip ?? new FactWhenRootAttribute().Skip;
    }
}

/// <summary>The same for a theory.</summary>
public sealed class TheoryWhenRootAndToolAttribute : TheoryAttribute
{
    public TheoryWhenRootAndToolAttribute(string tool)
    {
        Skip = new FactWhenToolAttribute(tool).Skip ?? new FactWhenRootAttribute().Skip;
    }
}

/// <summary>A privilege of these tests (capabilities(7)): its number in linux/capability.h.</summary>
internal enum Capability
{
    CAP_NET_ADMIN = 12,
    CAP_SYS_ADMIN = 21,
    CAP_SYS_NICE = 23,
}

internal static class Capabilities
{
    private static readonly ulong Effective = Convert.ToUInt64(
        File.ReadLines("/proc/self/status").First(l => l.StartsWith("CapEff:", StringComparison.Ordinal))["CapEff:".Length..].Trim(), 16);

    /// <summary>Why a test that needs it is skipped; null: it is there.</summary>
    public static string? WhyWithout(Capability needed) => (Effective >> (int)needed & 1) != 0 ? null : $"needs {needed}";
}

/// <summary>A test that needs to mount and a program; skipped with the reason otherwise.</summary>
public sealed class FactWhenMountsAndToolAttribute : FactAttribute
{
    public FactWhenMountsAndToolAttribute(string tool)
    {
        Skip = new FactWhenToolAttribute(tool).Skip ?? Capabilities.WhyWithout(Capability.CAP_SYS_ADMIN);
    }
}

/// <summary>
/// A theory that needs a network of its own, whose loopback <c>ip</c> brings up, and a program; skipped with the reason otherwise.
/// </summary>
public sealed class TheoryWhenNetworkAndToolAttribute : TheoryAttribute
{
    public TheoryWhenNetworkAndToolAttribute(string tool)
    {
        Skip = new FactWhenMountsAndToolAttribute(tool).Skip ?? new FactWhenToolAttribute("ip").Skip
            ?? Capabilities.WhyWithout(Capability.CAP_NET_ADMIN);
    }
}

/// <summary>The same for a theory.</summary>
public sealed class TheoryWhenMountsAndToolAttribute : TheoryAttribute
{
    public TheoryWhenMountsAndToolAttribute(string tool)
    {
        Skip = new FactWhenMountsAndToolAttribute(tool).Skip;
    }
}

/// <summary>A theory that needs root; skipped with the reason otherwise.</summary>
public sealed class TheoryWhenRootAttribute : TheoryAttribute
{
    public TheoryWhenRootAttribute()
    {
        Skip = new FactWhenRootAttribute().Skip;
    }
}

/// <summary>The same as <see cref="FactWhenNativeRootAttribute"/> for a theory.</summary>
public sealed class TheoryWhenNativeRootAttribute : TheoryAttribute
{
    public TheoryWhenNativeRootAttribute()
    {
        Skip = new FactWhenNativeRootAttribute().Skip;
    }
}

/// <summary>A test of the native binary that needs root; skipped with the reason otherwise.</summary>
public sealed class FactWhenNativeRootAttribute : FactAttribute
{
    public FactWhenNativeRootAttribute()
    {
        if (Environment.GetEnvironmentVariable("LAUNCHD_CS") is not { Length: > 0 } program
            || program.Contains(".dll", StringComparison.Ordinal))
        {
            Skip = "needs the native binary in LAUNCHD_CS: under the JIT the runtime's own descriptors come and go";
        }
        else if (!Environment.IsPrivilegedProcess)
        {
            Skip = "needs root";
        }
    }
}
