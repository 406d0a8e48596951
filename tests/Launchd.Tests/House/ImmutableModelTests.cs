using System.Collections;
using System.Collections.Frozen;
using System.Collections.Immutable;
using System.Reflection;
using System.Runtime.CompilerServices;
using Launchd.Addresses;
using Launchd.Model;
using Xunit;

namespace Launchd.Tests.House;

/// <summary>
/// Definitions are values: nothing in the model, or among the addresses that it names, changes once Config has made it. Every type is a
/// sealed record, a readonly record struct, an enum, a static class, or the abstract head of a closed family.
/// </summary>
public sealed class ImmutableModelTests
{
    private const BindingFlags All =
        BindingFlags.Instance | BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;

    private static readonly Type[] Containers =
    [
        typeof(ImmutableArray<>), typeof(ImmutableDictionary<,>), typeof(ImmutableSortedDictionary<,>), typeof(ImmutableHashSet<>),
        typeof(FrozenDictionary<,>), typeof(FrozenSet<>),
    ];

    public static TheoryData<string> ModelTypes =>
    [
        .. typeof(ServiceName).Assembly.GetTypes()
            .Where(t => (t.Namespace == typeof(ServiceName).Namespace || t.Namespace == typeof(ListenAddress).Namespace) && IsWritten(t))
            .Select(t => t.FullName!),
    ];

    [Theory]
    [MemberData(nameof(ModelTypes))]
    public void AModelTypeCannotChange(string name)
    {
        Type type = typeof(ServiceName).Assembly.GetType(name, throwOnError: true)!;

        Verdict.None(Violations(type));
    }

    [Theory]
    [InlineData(typeof(Bad.NotARecord))]
    [InlineData(typeof(Bad.NotSealed))]
    [InlineData(typeof(Bad.Settable))]
    [InlineData(typeof(Bad.HasAList))]
    [InlineData(typeof(Bad.HasAnArray))]
    [InlineData(typeof(Bad.OpenFamily))]
    [InlineData(typeof(Bad.LooseStruct))]
    public void AMutableTypeIsFound(Type type) => Assert.NotEmpty(Violations(type));

    private static bool IsWritten(Type type) => !type.IsDefined(typeof(CompilerGeneratedAttribute)) && !type.Name.StartsWith('<');

    private static IEnumerable<string> Violations(Type type)
    {
        if (type.IsEnum || (type.IsAbstract && type.IsSealed))
            yield break;
        if (type.IsValueType ? !type.IsDefined(typeof(IsReadOnlyAttribute)) : type.GetMethod("<Clone>$") is null)
            yield return "neither a record nor a readonly struct";
        if (!type.IsValueType && !type.IsSealed && !IsClosedFamily(type))
            yield return "neither sealed nor the head of a closed family";

        foreach (FieldInfo field in type.GetFields(All).Where(f => !f.IsInitOnly && !f.IsLiteral))
            yield return $"field {field.Name} can be assigned";
        foreach (PropertyInfo property in type.GetProperties(All))
        {
            if (property.SetMethod is { } setter && !setter.ReturnParameter.GetRequiredCustomModifiers().Contains(typeof(IsExternalInit)))
                yield return $"property {property.Name} has a setter";
            if (IsMutableContainer(property.PropertyType) && property.GetMethod is { IsStatic: false })
                yield return $"property {property.Name} holds a container that can change";
        }
    }

    /// <summary>Only nested types can derive: every constructor is private but the copying one that the compiler adds.</summary>
    private static bool IsClosedFamily(Type type) =>
        type.IsAbstract
        && type.GetConstructors(All).Where(c => !c.IsStatic && !IsCopying(c, type)).All(c => c.IsPrivate)
        && type.Assembly.GetTypes().Where(t => t.IsSubclassOf(type)).All(t => t.DeclaringType == type && (t.IsSealed || t.IsAbstract));

    private static bool IsCopying(ConstructorInfo constructor, Type type) =>
        constructor.GetParameters() is [{ } only] && only.ParameterType == type;

    private static bool IsMutableContainer(Type type)
    {
        if (type == typeof(string) || !typeof(IEnumerable).IsAssignableFrom(type))
            return false;
        return !type.IsGenericType || !Containers.Contains(type.GetGenericTypeDefinition());
    }

    /// <summary>One type for each way to be wrong.</summary>
    private static class Bad
    {
        internal sealed class NotARecord;

#pragma warning disable CA1852 // That it is not sealed is the point.
        internal record NotSealed;
#pragma warning restore CA1852

        internal sealed record Settable
        {
            public int Number { get; set; }
        }

        internal sealed record HasAList(List<int> Numbers);

        internal sealed record HasAnArray(int[] Numbers);

        internal abstract record OpenFamily;

        internal record struct LooseStruct(int Number);
    }
}
