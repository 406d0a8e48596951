using System.Diagnostics;
using System.Reflection;
using Launchd.Core;
using Xunit;

namespace Launchd.Tests.House;

/// <summary>docs/adr/0003: what a child runs before its program has all its small calls inlined, in a debug build as well.</summary>
public sealed class OptimisedTests
{
    [Fact]
    public void TheDaemonIsOptimisedInEveryConfiguration() =>
        Assert.False(typeof(Supervisor).Assembly.GetCustomAttribute<DebuggableAttribute>()?.IsJITOptimizerDisabled ?? false);
}
