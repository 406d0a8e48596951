using System.Reflection;
using System.Runtime.CompilerServices;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Host.Startup;
using Launchd.Host.Steps;
using Xunit;

namespace Launchd.Tests.House;

/// <summary>
/// Each class of the host takes the few others that it uses. One that takes the whole of them can reach everything, and what it uses shows
/// nowhere any more; so only the composition knows the whole.
/// </summary>
public sealed class NoLocatorTests
{
    private const BindingFlags All =
        BindingFlags.Instance | BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    private static readonly Type[] Wholes = [typeof(HostComposition), typeof(HostParts)];

    [Fact]
    public void OnlyTheCompositionKnowsTheWholeHost()
    {
        Type[] types = [.. typeof(HostComposition).Assembly.GetTypes().Where(t => !Wholes.Contains(t) && !IsGenerated(t))];

        Assert.Contains(typeof(EffectRunner), types);
        Verdict.None(types.SelectMany(Violations));
    }

    [Theory]
    [InlineData(typeof(Bad.Takes))]
    [InlineData(typeof(Bad.Captures))]
    [InlineData(typeof(Bad.Keeps))]
    [InlineData(typeof(Bad.IsGivenItLater))]
    [InlineData(typeof(Bad.Asks))]
    public void AClassThatTakesTheWholeIsFound(Type type) => Assert.NotEmpty(Violations(type));

    [Fact]
    public void AClassThatTakesAPartIsAllowed() => Assert.Empty(Violations(typeof(Good)));

    // What a lambda of the composition's caller has captured is no class of anybody.
    private static bool IsGenerated(Type type) =>
        type.IsDefined(typeof(CompilerGeneratedAttribute)) || (type.DeclaringType is { } outer && IsGenerated(outer));

    private static IEnumerable<string> Violations(Type type)
    {
        foreach (ParameterInfo parameter in type.GetConstructors(All)
            .SelectMany(c => c.GetParameters()).Where(p => Mentions(p.ParameterType)))
        {
            yield return $"{type.Name} is made from {parameter.ParameterType.Name} {parameter.Name}: take what it uses";
        }
        foreach (FieldInfo field in type.GetFields(All).Where(f => Mentions(f.FieldType)))
            yield return $"{type.Name} has {field.FieldType.Name} {field.Name}: take what it uses";
    }

    private static bool Mentions(Type type) =>
        Wholes.Contains(type) || (type.GetElementType() is { } element && Mentions(element)) || type.GetGenericArguments().Any(Mentions);

    /// <summary>One type for each way to know the whole.</summary>
    private static class Bad
    {
        internal sealed class Takes
        {
            public Takes(HostComposition host) => Counted = host is null ? 0 : 1;

            public int Counted { get; }
        }

        internal sealed class Captures(HostParts parts)
        {
            public Mailbox Mailbox => parts.Mailbox;
        }

        internal sealed class Keeps
        {
            public static HostComposition? Instance { get; set; }
        }

        internal sealed class IsGivenItLater
        {
            public HostParts? Parts { get; set; }
        }

        internal sealed class Asks(Func<HostComposition> host)
        {
            public Func<HostComposition> Host => host;
        }
    }

    private sealed class Good(Counters counters)
    {
        public Counters Counters => counters;
    }
}
