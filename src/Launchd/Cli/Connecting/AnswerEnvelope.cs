using System.Text.Json;

namespace Launchd.Cli.Connecting;

/// <summary>
/// The envelope of one answer, <see cref="Control.ControlAnswer"/>. Its parameters are passed over and not read: those of ten thousand
/// descriptors are some megabytes, which are read once, into what they are.
/// </summary>
internal readonly ref struct AnswerEnvelope
{
    /// <summary>JSON within the message; empty: there are none.</summary>
    public ReadOnlySpan<byte> Parameters { get; private init; }

    /// <summary>Name of the refusal; null: it is none.</summary>
    public string? Error { get; private init; }

    /// <summary>More answers follow for the same call.</summary>
    public bool Continues { get; private init; }

    /// <exception cref="JsonException">The message is no such envelope.</exception>
    /// <exception cref="InvalidOperationException">A member of the envelope is of another kind.</exception>
    public static AnswerEnvelope Read(ReadOnlySpan<byte> message)
    {
        Utf8JsonReader json = new(message);
        ReadOnlySpan<byte> parameters = default;
        string? error = null;
        bool continues = false;
        if (!json.Read() || json.TokenType != JsonTokenType.StartObject)
            throw new JsonException();
        while (json.Read() && json.TokenType == JsonTokenType.PropertyName)
        {
            bool isParameters = json.ValueTextEquals("parameters"u8), isError = json.ValueTextEquals("error"u8);
            bool isContinues = json.ValueTextEquals("continues"u8);
            _ = json.Read();
            long start = json.TokenStartIndex;
            if (isError)
                error = json.GetString();
            else if (isContinues)
                continues = json.GetBoolean();
            else
                json.Skip();
            if (isParameters)
                parameters = message[(int)start..(int)json.BytesConsumed];
        }
        // Nothing may follow.
        _ = json.Read();
        return new AnswerEnvelope { Parameters = parameters, Error = error, Continues = continues };
    }
}
