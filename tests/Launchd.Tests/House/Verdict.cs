using Xunit;

namespace Launchd.Tests.House;

/// <summary>Assertions that print every violation on a line of its own.</summary>
internal static class Verdict
{
    public static void None(IEnumerable<string> violations)
    {
        string[] all = [.. violations];
        if (all.Length > 0)
            Assert.Fail($"{all.Length} violations:\n" + string.Join('\n', all));
    }
}
