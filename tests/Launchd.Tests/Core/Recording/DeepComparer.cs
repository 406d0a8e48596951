using System.Collections;
using System.Collections.Concurrent;
using System.Net;
using System.Reflection;
using Launchd.Model;

namespace Launchd.Tests.Core.Recording;

/// <summary>
/// Compares two values field by field, also where records compare lists by reference. What is one definition in the first is to be one
/// definition in the second as well.
/// </summary>
internal sealed class DeepComparer
{
    private static readonly ConcurrentDictionary<Type, FieldInfo[]> Fields = new();

    private readonly Dictionary<ServiceDefinition, ServiceDefinition> _there = new(ReferenceEqualityComparer.Instance);
    private readonly Dictionary<ServiceDefinition, ServiceDefinition> _back = new(ReferenceEqualityComparer.Instance);

    /// <summary>The definition in the second value that stands where this one stands in the first; null: it stands nowhere.</summary>
    public ServiceDefinition? CounterpartOf(ServiceDefinition definition) => _there.GetValueOrDefault(definition);

    /// <summary>Null: they are the same; else where they differ.</summary>
    public string? Difference(object? first, object? second, string path = "")
    {
        if (first is null || second is null)
            return first is null == second is null ? null : $"{path}: {first ?? "null"}, {second ?? "null"}";
        Type type = first.GetType();
        if (type.IsPrimitive || type.IsEnum || first is string or IPAddress or IPEndPoint)
            return first.Equals(second) ? null : $"{path}: {first}, {second}";
        if (type != second.GetType())
            return $"{path}: {type.Name}, {second.GetType().Name}";
        if (first is ServiceDefinition definition && IsMet(definition, (ServiceDefinition)second) is { } isSame)
            return isSame ? null : $"{path}: another definition of {definition.Name} than elsewhere";
        if (first is IEnumerable items && !type.Name.StartsWith("ImmutableArray", StringComparison.Ordinal))
            return OfItems(items, (IEnumerable)second, path);
        foreach (FieldInfo field in Fields.GetOrAdd(type, FieldsOf))
        {
            object? a = field.GetValue(first), b = field.GetValue(second);
            // A list that was never set is an empty one.
            if (field is { Name: "array", FieldType.IsArray: true })
                (a, b) = (a ?? Array.Empty<int>(), b ?? Array.Empty<int>());
            if (a is Array { Length: 0 } && b is Array { Length: 0 })
                continue;
            if (Difference(a, b, $"{path}.{field.Name}") is { } found)
                return found;
        }
        return null;
    }

    // Null: neither was met before, so what they say is to be compared.
    private bool? IsMet(ServiceDefinition first, ServiceDefinition second)
    {
        bool isKnown = _there.TryGetValue(first, out ServiceDefinition? there) | _back.TryGetValue(second, out ServiceDefinition? back);
        if (isKnown)
            return ReferenceEquals(there, second) && ReferenceEquals(back, first);
        _there.Add(first, second);
        _back.Add(second, first);
        return null;
    }

    private string? OfItems(IEnumerable first, IEnumerable second, string path)
    {
        object?[] a = [.. first.Cast<object?>()], b = [.. second.Cast<object?>()];
        if (a.Length != b.Length)
            return $"{path}: {a.Length} items, {b.Length} items";
        for (int i = 0; i < a.Length; i++)
        {
            if (Difference(a[i], b[i], $"{path}[{i}]") is { } found)
                return found;
        }
        return null;
    }

    private static FieldInfo[] FieldsOf(Type type)
    {
        const BindingFlags Own = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.DeclaredOnly;
        List<FieldInfo> fields = [];
        for (Type? at = type; at is not null; at = at.BaseType)
            fields.AddRange(at.GetFields(Own));
        return [.. fields];
    }
}
