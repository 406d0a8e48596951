using Xunit;

namespace Launchd.AcceptanceTests.Support;

/// <summary>A fact about the published binary itself: skipped, with the reason, where the tests run what the solution built.</summary>
internal sealed class NeedsNativeFactAttribute : FactAttribute
{
    /// <param name="tools">Programs that the <c>PATH</c> has to hold.</param>
    public NeedsNativeFactAttribute(params string[] tools)
    {
        Skip = Repository.LaunchdCommand.Length > 1 ? "needs the native binary in LAUNCHD_CS" : new NeedsToolFactAttribute(tools).Skip;
    }
}
