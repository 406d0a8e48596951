using System.Reflection;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using System.Text.RegularExpressions;
using Launchd.Control;
using Xunit;

namespace Launchd.Tests.Cli;

/// <summary>The published description of the interface and the types that are really sent say the same.</summary>
public sealed partial class InterfaceDescriptionTests
{
    private static readonly NullabilityInfoContext _nullability = new();

    private static readonly Dictionary<string, (Type? Request, Type Reply)> _methods = new()
    {
        ["Status"] = (typeof(FilterRequest), typeof(StatusReply)),
        ["Start"] = (typeof(ServicesRequest), typeof(ServicesReply)),
        ["Stop"] = (typeof(ServicesRequest), typeof(ServicesReply)),
        ["Restart"] = (typeof(ServicesRequest), typeof(ServicesReply)),
        ["Scale"] = (typeof(ServicesRequest), typeof(ServicesReply)),
        ["ReloadService"] = (typeof(ServicesRequest), typeof(ServicesReply)),
        ["Signal"] = (typeof(ServicesRequest), typeof(ServicesReply)),
        ["Logs"] = (typeof(LogsRequest), typeof(LogsReply)),
        ["Events"] = (typeof(EventsRequest), typeof(EventsReply)),
        ["Descriptors"] = (typeof(FilterRequest), typeof(DescriptorsReply)),
        ["Fetch"] = (typeof(FetchRequest), typeof(FetchReply)),
        ["Attach"] = (typeof(AttachRequest), typeof(AttachReply)),
        ["Upgrade"] = (typeof(UpgradeRequest), typeof(UpgradeReply)),
        ["Shutdown"] = (null, typeof(ShutdownReply)),
        ["Reload"] = (typeof(ReloadRequest), typeof(ReloadReply)),
        ["Plan"] = (typeof(PlanRequest), typeof(ReloadReply)),
    };

    private static readonly string _text = string.Join('\n', InterfaceDescription.Text.Split('\n').Where(l => !l.StartsWith('#')));

    [Fact]
    public void MethodsHaveTheFieldsOfTheirMessages()
    {
        Dictionary<string, string> described = Method().Matches(_text).ToDictionary(
            m => m.Groups[1].Value, m => Normal(m.Groups[2].Value) + " -> " + Normal(m.Groups[3].Value));

        Assert.Equal(_methods.Keys.Order(), described.Keys.Order());
        Assert.All(_methods, m => Assert.Equal($"{Fields(m.Value.Request, isRequest: true)} -> {Fields(m.Value.Reply)}", described[m.Key]));
    }

    [Fact]
    public void TypesHaveTheFieldsOfTheRecords()
    {
        Type[] records = [.. typeof(ControlNames).Assembly.GetTypes()
            .Where(t => t.Namespace == "Launchd.Control" && t.GetMethod("<Clone>$") is not null)];
        string[] messages =
        [
            .. _methods.Values.SelectMany(m => (Type?[])[m.Request, m.Reply]).OfType<Type>().Select(t => t.Name),
            "ControlCall", "ControlAnswer", "ErrorDetail", "InterfaceRequest",
        ];
        Dictionary<string, string> described = TypeDefinition().Matches(_text)
            .ToDictionary(m => m.Groups[1].Value, m => Normal(m.Groups[2].Value));

        Assert.Equal(records.Select(r => r.Name).Except(messages).Order(), described.Keys.Order());
        Assert.All(described, d => Assert.Equal(Fields(records.Single(r => r.Name == d.Key)), d.Value));
    }

    [Fact]
    public void ErrorsAreThoseOfTheNames()
    {
        const string prefix = ControlNames.Interface + ".";
        IEnumerable<string> constants = typeof(ControlNames).GetFields().Select(f => (string)f.GetRawConstantValue()!);
        string[] names = [.. constants.Where(v => v.StartsWith(prefix, StringComparison.Ordinal))];
        Dictionary<string, string> described = Error().Matches(_text).ToDictionary(m => m.Groups[1].Value, m => Normal(m.Groups[2].Value));

        Assert.Equal(names.Select(n => n[(ControlNames.Interface.Length + 1)..]).Order(), described.Keys.Order());
        Assert.All(described.Values, fields => Assert.Equal(Fields(typeof(ErrorDetail)), fields));
        Assert.Contains($"interface {ControlNames.Interface}\n", _text);
    }

    private static string Normal(string fields) =>
        string.Join(", ", fields.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries));

    private static string Fields(Type? message, bool isRequest = false)
    {
        if (message is null)
            return "";
        JsonTypeInfo info = ControlJson.Default.GetTypeInfo(message) ?? throw new InvalidOperationException(message.Name);
        return string.Join(", ", info.Properties.Select(p =>
        {
            PropertyInfo property = message.GetProperties().Single(q => JsonNamingPolicy.SnakeCaseLower.ConvertName(q.Name) == p.Name);
            bool isOptional = isRequest || _nullability.Create(property).ReadState == NullabilityState.Nullable;
            return $"{p.Name}: {(isOptional ? "?" : "")}{TypeName(property.PropertyType)}";
        }));
    }

    private static string TypeName(Type type)
    {
        if (Nullable.GetUnderlyingType(type) is { } underlying)
            return TypeName(underlying);
        if (type.IsArray)
            return "[]" + TypeName(type.GetElementType()!);
        if (type == typeof(Dictionary<string, long>))
            return "[string]int";
        if (type == typeof(JsonElement))
            return "object";
        return Type.GetTypeCode(type) switch
        {
            TypeCode.String => "string",
            TypeCode.Boolean => "bool",
            TypeCode.Int32 or TypeCode.Int64 => "int",
            _ => type.Name,
        };
    }

    [GeneratedRegex(@"^method (\w+)\(([^)]*)\) -> \(([^)]*)\)", RegexOptions.Multiline)]
    private static partial Regex Method();

    [GeneratedRegex(@"^type (\w+) \(([^)]*)\)", RegexOptions.Multiline)]
    private static partial Regex TypeDefinition();

    [GeneratedRegex(@"^error (\w+)\(([^)]*)\)", RegexOptions.Multiline)]
    private static partial Regex Error();
}
