using System.Text.Json;

namespace Launchd.Host.Channel;

/// <summary>A fault in one request: the parameter at fault (empty: the message itself) and a sentence.</summary>
internal readonly record struct RequestFault(string Parameter, string Text);

/// <summary>
/// The outer object of one Varlink call, read strictly and in one pass, for programs and for operators alike. A key that is there twice, an
/// unknown key and a value of the wrong type are faults, however the key is written. Reading never throws.
/// </summary>
internal ref struct CallEnvelope
{
    /// <summary>A reader that stands at the text of the method.</summary>
    public Utf8JsonReader Method;

    /// <summary>
    /// A reader that stands at the object of the parameters. It is read when the method is known, which may come behind it.
    /// </summary>
    public Utf8JsonReader Parameters;

    public bool HasMethod { get; private set; }
    public bool HasParameters { get; private set; }
    public bool IsOneway { get; private set; }
    public bool IsMore { get; private set; }

    /// <summary>
    /// Reads one message. Null: it is well formed. Even if there is a fault, <paramref name="call"/> says whether an answer is wanted.
    /// </summary>
    public static RequestFault? Read(ReadOnlySpan<byte> message, JsonReaderOptions options, out CallEnvelope call)
    {
        call = default;
        try
        {
            return call.Read(new Utf8JsonReader(message, options));
        }
        catch (Exception malformed) when (IsMalformed(malformed))
        {
            return NoObject;
        }
    }

    /// <summary>
    /// Whether an exception says that the message is malformed. Beside JsonException, readers throw others for a text
    /// that is no UTF-8 or has half of a surrogate pair.
    /// </summary>
    public static bool IsMalformed(Exception exception) => exception is JsonException or InvalidOperationException or ArgumentException;

    public static RequestFault NoObject => new("", "the packet is no JSON object in UTF-8");

    private RequestFault? Read(Utf8JsonReader json)
    {
        if (!json.Read() || json.TokenType != JsonTokenType.StartObject)
            return NoObject;
        RequestFault? fault = null;
        bool hasOneway = false, hasMore = false;
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            if (json.ValueTextEquals("method"u8))
            {
                _ = json.Read();
                fault ??= HasMethod || json.TokenType != JsonTokenType.String ? new RequestFault("method", "method is one string") : null;
                if (json.TokenType == JsonTokenType.String)
                    Method = json;
                HasMethod |= json.TokenType == JsonTokenType.String;
            }
            else if (json.ValueTextEquals("parameters"u8))
            {
                _ = json.Read();
                fault ??= HasParameters || json.TokenType != JsonTokenType.StartObject
                    ? new RequestFault("parameters", "parameters is one object")
                    : null;
                Parameters = json;
                HasParameters = true;
            }
            else if (json.ValueTextEquals("oneway"u8))
            {
                IsOneway = ReadFlag(ref json, "oneway", ref hasOneway, ref fault);
            }
            else if (json.ValueTextEquals("more"u8))
            {
                IsMore = ReadFlag(ref json, "more", ref hasMore, ref fault);
            }
            else
            {
                string key = json.GetString() ?? "";
                _ = json.Read();
                fault ??= new RequestFault(key, "a request has no such key");
            }
            json.Skip();
        }
        // Reads to the end, so that anything behind the object is an error of the message.
        while (json.Read())
        {
        }
        return fault ?? (HasMethod ? null : new RequestFault("method", "a request needs a method"));
    }

    private static bool ReadFlag(ref Utf8JsonReader json, string name, ref bool isThere, ref RequestFault? fault)
    {
        _ = json.Read();
        if (json.TokenType is not (JsonTokenType.True or JsonTokenType.False))
            fault ??= new RequestFault(name, $"{name} is true or false");
        if (isThere)
            fault ??= new RequestFault(name, "the key is there twice");
        isThere = true;
        return json.TokenType == JsonTokenType.True;
    }
}
