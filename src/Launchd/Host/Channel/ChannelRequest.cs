using System.Text;
using System.Text.Json;

namespace Launchd.Host.Channel;

/// <summary>
/// One packet of an instance, read: envelope and parameters in one walk, strictly, with no more allocations than its texts. Whatever the
/// bytes are, reading them ends in a request or in a fault, never in an exception.
/// </summary>
internal struct ChannelRequest
{
    private static readonly JsonReaderOptions Strict = new() { MaxDepth = 4 };

    // The longest time that a request may name, ten years: no sum with it overflows.
    private const long MostMicroseconds = 10L * 365 * 86_400 * 1_000_000;

    private static readonly (byte[] Name, ChannelKeys Key)[] Keys =
    [
        ("names"u8.ToArray(), ChannelKeys.Names), ("name"u8.ToArray(), ChannelKeys.Name), ("number"u8.ToArray(), ChannelKeys.Number),
        ("service"u8.ToArray(), ChannelKeys.Service), ("slot"u8.ToArray(), ChannelKeys.Slot), ("mode"u8.ToArray(), ChannelKeys.Mode),
        ("access"u8.ToArray(), ChannelKeys.Access), ("wait"u8.ToArray(), ChannelKeys.Wait), ("replace"u8.ToArray(), ChannelKeys.Replace),
        ("if_absent"u8.ToArray(), ChannelKeys.IfAbsent), ("poll"u8.ToArray(), ChannelKeys.Poll), ("text"u8.ToArray(), ChannelKeys.Text),
        ("microseconds"u8.ToArray(), ChannelKeys.Microseconds), ("remaining"u8.ToArray(), ChannelKeys.Remaining),
        ("ask"u8.ToArray(), ChannelKeys.Ask),
    ];

    /// <summary>
    /// The rule of the method that is called. Null: there is no such method, and <see cref="MethodName"/> says which was meant.
    /// </summary>
    public ChannelMethodRule? Rule { get; private set; }
    public string? MethodName { get; private set; }
    public bool IsOneway { get; private set; }
    public bool IsMore { get; private set; }
    public ChannelKeys Given { get; private set; }
    public List<string>? Names { get; private set; }
    public string Name { get; private set; }
    public string Service { get; private set; }
    public string? Mode { get; private set; }
    public string? Access { get; private set; }
    public string Text { get; private set; }

    public int Number { get; private set; }
    public int Slot { get; private set; }
    public long Wait { get; private set; }
    public long Microseconds { get; private set; }
    public long Remaining { get; private set; }
    public long Ask { get; private set; }
    public bool Replace { get; private set; }
    public bool IfAbsent { get; private set; }
    public bool? Poll { get; private set; }

    /// <summary>
    /// Reads one packet. Null: it is well formed. Even if there is a fault, <paramref name="request"/> says whether an answer is wanted.
    /// </summary>
    public static RequestFault? Read(ReadOnlySpan<byte> packet, out ChannelRequest request)
    {
        request = new ChannelRequest { Name = "", Service = "", Text = "" };
        RequestFault? fault = CallEnvelope.Read(packet, Strict, out CallEnvelope call);
        try
        {
            return request.Take(ref call, fault);
        }
        catch (Exception malformed) when (CallEnvelope.IsMalformed(malformed))
        {
            return CallEnvelope.NoObject;
        }
    }

    private RequestFault? Take(ref CallEnvelope call, RequestFault? fault)
    {
        IsOneway = call.IsOneway;
        IsMore = call.IsMore;
        if (call.HasMethod)
            ReadMethod(ref call.Method);
        if (fault is null && Rule is { } rule)
            fault = (call.HasParameters ? ReadParameters(ref call.Parameters, rule) : null) ?? FindMissing(rule);
        return fault;
    }

    private void ReadMethod(ref Utf8JsonReader json)
    {
        ReadOnlySpan<byte> prefix = "org.launchd-cs.Instance."u8;
        if (!json.ValueIsEscaped && json.ValueSpan.StartsWith(prefix))
            Rule = ChannelMethodRule.Find(json.ValueSpan[prefix.Length..]);
        if (Rule is null)
            MethodName = json.GetString();
    }

    private RequestFault? ReadParameters(ref Utf8JsonReader json, ChannelMethodRule rule)
    {
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            ChannelKeys key = KeyOf(ref json);
            if (key == ChannelKeys.None || (rule.May & key) == 0)
                return new RequestFault(json.GetString() ?? "", $"{rule.Method} has no such parameter");
            if ((Given & key) != 0)
                return new RequestFault(NameOf(key), "the parameter is there twice");
            Given |= key;
            _ = json.Read();
            if (!TakeValue(ref json, key))
                return new RequestFault(NameOf(key), WhatIs(key));
        }
        return null;
    }

    private bool TakeValue(ref Utf8JsonReader json, ChannelKeys key)
    {
        bool isText = json.TokenType == JsonTokenType.String, isFlag = json.TokenType is JsonTokenType.True or JsonTokenType.False;
        string text = isText ? json.GetString() ?? "" : "";
        long number = -1;
        bool isNumber = json.TokenType == JsonTokenType.Number && json.TryGetInt64(out number) && number >= 0 && number <= MostMicroseconds;
        bool isSmall = isNumber && number <= int.MaxValue;
        switch (key)
        {
            case ChannelKeys.Names: return ReadNames(ref json);
            case ChannelKeys.Name: Name = text; return text.Length > 0 && Core.Instances.Notification.IsDescriptorName(text);
            case ChannelKeys.Service: Service = text; return text.Length > 0;
            case ChannelKeys.Mode: Mode = text; return text is "duplicate" or "direct" or "reopen";
            case ChannelKeys.Access: Access = text; return text is "read" or "write";
            case ChannelKeys.Text: Text = text; return isText && !text.AsSpan().ContainsAny('\n', '\0');
            case ChannelKeys.Number: Number = isSmall ? (int)number : -1; return isSmall;
            case ChannelKeys.Slot: Slot = isSmall ? (int)number : -1; return isSmall;
            case ChannelKeys.Wait: Wait = number; return isNumber;
            case ChannelKeys.Microseconds: Microseconds = number; return isNumber;
            case ChannelKeys.Remaining: Remaining = number; return isSmall;
            case ChannelKeys.Ask: Ask = number; return isNumber;
            case ChannelKeys.Replace: Replace = json.TokenType == JsonTokenType.True; return isFlag;
            case ChannelKeys.IfAbsent: IfAbsent = json.TokenType == JsonTokenType.True; return isFlag;
            case ChannelKeys.Poll: Poll = json.TokenType == JsonTokenType.True; return isFlag;
            default: return false;
        }
    }

    private bool ReadNames(ref Utf8JsonReader json)
    {
        if (json.TokenType != JsonTokenType.StartArray)
            return false;
        Names = [];
        while (json.Read() && json.TokenType == JsonTokenType.String)
            Names.Add(json.GetString() ?? "");
        return json.TokenType == JsonTokenType.EndArray;
    }

    private readonly RequestFault? FindMissing(ChannelMethodRule rule)
    {
        ChannelKeys missing = rule.Must & ~Given;
        if (missing == 0)
            return null;
        ChannelKeys first = missing & (ChannelKeys)(-(int)missing);
        return new RequestFault(NameOf(first), $"{rule.Method} needs the parameter");
    }

    private static ChannelKeys KeyOf(ref Utf8JsonReader json)
    {
        foreach ((byte[] name, ChannelKeys key) in Keys)
        {
            if (json.ValueTextEquals(name))
                return key;
        }
        return ChannelKeys.None;
    }

    private static string NameOf(ChannelKeys wanted)
    {
        foreach ((byte[] name, ChannelKeys key) in Keys)
        {
            if (key == wanted)
                return Encoding.UTF8.GetString(name);
        }
        return "";
    }

    private static string WhatIs(ChannelKeys key) => key switch
    {
        ChannelKeys.Names => "names is a list of strings",
        ChannelKeys.Name => "name is 1 to 255 characters of printable ASCII without ':'",
        ChannelKeys.Service => "service is the name of a service",
        ChannelKeys.Mode => "mode is duplicate, direct or reopen",
        ChannelKeys.Access => "access is read or write",
        ChannelKeys.Text => "text is a string of one line",
        ChannelKeys.Replace or ChannelKeys.IfAbsent or ChannelKeys.Poll => $"{NameOf(key)} is true or false",
        ChannelKeys.Wait or ChannelKeys.Microseconds => $"{NameOf(key)} is a whole number of microseconds, from 0",
        _ => $"{NameOf(key)} is a whole number, from 0",
    };
}
