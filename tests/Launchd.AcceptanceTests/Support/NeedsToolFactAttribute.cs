using Xunit;

namespace Launchd.AcceptanceTests.Support;

/// <summary>A fact about a program from outside: skipped, with the reason, where it is not installed.</summary>
internal sealed class NeedsToolFactAttribute : FactAttribute
{
    /// <param name="tools">Programs that the <c>PATH</c> has to hold.</param>
    public NeedsToolFactAttribute(params string[] tools)
    {
        string[] missing = [.. tools.Where(t => Repository.Tool(t) is null)];
        if (missing.Length > 0)
            Skip = $"not installed: {string.Join(", ", missing)}";
    }
}
