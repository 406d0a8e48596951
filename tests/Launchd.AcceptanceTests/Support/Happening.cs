using System.Text.Json;

namespace Launchd.AcceptanceTests.Support;

/// <summary>One object of <c>events --json</c>.</summary>
internal sealed record Happening(JsonElement Json)
{
    public string Kind => Text("event") ?? "";
    public string? Service => Text("service");
    public int Pid => Number("pid");

    public string? Text(string key) => Json.TryGetProperty(key, out JsonElement value) ? value.ToString() : null;

    public int Number(string key) => Json.TryGetProperty(key, out JsonElement value) && value.TryGetInt32(out int number) ? number : -1;

    /// <summary>The texts of an array, such as a notification's <c>lines</c>.</summary>
    public IEnumerable<string> Texts(string key) =>
        Json.TryGetProperty(key, out JsonElement value) && value.ValueKind == JsonValueKind.Array
            ? value.EnumerateArray().Select(v => v.ToString())
            : [];

    public override string ToString() => Json.GetRawText();
}
