using System.Text;
using System.Text.Json;
using Launchd.Logs;
using Xunit;

namespace Launchd.Tests.Logs;

/// <summary>Lines of services as JSON objects.</summary>
public sealed class LineObjectTests
{
    private const string Head = "{\"time\":\"T\",\"service\":\"web\",\"slot\":1,\"stream\":\"error\",";

    [Theory]
    [InlineData("plain", "\"text\":\"plain\"}")]
    [InlineData("", "\"text\":\"\"}")]
    [InlineData("a \"quoted\" \\ \u001b[31m", "\"text\":\"a \\u0022quoted\\u0022 \\\\ \\u001B[31m\"}")]
    [InlineData("{\"level\":\"info\", \"n\": [1, {}]}", "\"object\":{\"level\":\"info\", \"n\": [1, {}]}}")]
    [InlineData("{\"a\":1} and more", "\"text\":\"{\\u0022a\\u0022:1} and more\"}")]
    [InlineData("{\"a\":1}{\"b\":2}", "\"text\":\"{\\u0022a\\u0022:1}{\\u0022b\\u0022:2}\"}")]
    [InlineData("{\"a\":", "\"text\":\"{\\u0022a\\u0022:\"}")]
    [InlineData("{\r\"a\":1}", "\"text\":\"{\\r\\u0022a\\u0022:1}\"}")]
    [InlineData("[1]", "\"text\":\"[1]\"}")]
    [InlineData("\"x\"", "\"text\":\"\\u0022x\\u0022\"}")]
    public void ALineIsText_OrAnObjectIfItIsOne(string line, string expected) =>
        Assert.Equal(Head + expected, Write(Encoding.UTF8.GetBytes(line)));

    [Fact]
    public void WhatIsNotUtf8IsReplaced_AlsoInAnObject()
    {
        byte[] line = [.. "{\"a\":\""u8, 0xFF, .. "\"}"u8];

        using JsonDocument written = JsonDocument.Parse(Write(line));

        Assert.Equal("{\"a\":\"\uFFFD\"}", written.RootElement.GetProperty("text").GetString());
    }

    [Theory]
    [InlineData((int)LineCut.AtStart, "start")]
    [InlineData((int)LineCut.AtEnd, "end")]
    [InlineData((int)(LineCut.AtStart | LineCut.AtEnd), "both")]
    public void APieceSaysWhereItLacksSomething_AndIsNoObject(int cut, string expected) =>
        Assert.Equal(Head + $"\"text\":\"{{}}\",\"cut\":\"{expected}\"}}", Write("{}"u8, (LineCut)cut));

    [Fact]
    public void AnObjectThatIsTooDeepIsText()
    {
        string deep = string.Concat(Enumerable.Repeat("{\"a\":", 100)) + "1" + new string('}', 100);

        Assert.Contains("\"text\":", Write(Encoding.UTF8.GetBytes(deep)), StringComparison.Ordinal);
    }

    // To find out that a text is no object costs far more than to copy it.
    [Fact]
    public void AProgramThatWritesManyBrokenObjectsInOneRead_WritesTextsInTheRestOfIt()
    {
        using LineObject lines = new();
        OutputSource source = new() { InstanceId = 1, Service = "web", Slot = 1, Stream = "output" };
        string Write(ReadOnlySpan<byte> line) => Encoding.UTF8.GetString(lines.Write(source, "T"u8, line, LineCut.None));
        lines.BeginBatch();
        Assert.Contains("\"object\":{}", Write("{}"u8), StringComparison.Ordinal);
        for (int i = 0; i < 20; i++)
            Assert.Contains("\"text\":", Write("{broken}"u8), StringComparison.Ordinal);
        Assert.Contains("\"text\":", Write("{}"u8), StringComparison.Ordinal);
        lines.BeginBatch();
        Assert.Contains("\"object\":{}", Write("{}"u8), StringComparison.Ordinal);
    }

    [Fact]
    public void OneAfterTheOther()
    {
        using LineObject lines = new();
        OutputSource source = new() { InstanceId = 1, Service = "web", Slot = 1, Stream = "error" };

        string first = Encoding.UTF8.GetString(lines.Write(source, "T"u8, "a long first line"u8, LineCut.None));
        string second = Encoding.UTF8.GetString(lines.Write(source, "T"u8, "b"u8, LineCut.None));

        Assert.Equal([Head + "\"text\":\"a long first line\"}", Head + "\"text\":\"b\"}"], [first, second]);
    }

    private static string Write(ReadOnlySpan<byte> line, LineCut cut = LineCut.None)
    {
        using LineObject lines = new();
        OutputSource source = new() { InstanceId = 1, Service = "web", Slot = 1, Stream = "error" };
        return Encoding.UTF8.GetString(lines.Write(source, "T"u8, line, cut));
    }
}
