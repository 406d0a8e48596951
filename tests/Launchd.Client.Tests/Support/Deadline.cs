using System.Diagnostics;
using Launchd.AcceptanceTests.Support;

namespace Launchd.Client.Tests.Support;

/// <summary>For the few things of the kernel that have no event: looks again until they are so.</summary>
internal static class Patience
{
    public static async Task Until(Func<bool> condition, string what)
    {
        var waiting = Stopwatch.StartNew();
        while (!condition())
        {
            Xunit.Assert.True(waiting.Elapsed < Deadline.Generous, $"no {what} within {Deadline.Generous.TotalSeconds:0} s");
            await Task.Delay(5);
        }
    }
}
