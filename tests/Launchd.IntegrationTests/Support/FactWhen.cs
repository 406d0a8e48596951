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
