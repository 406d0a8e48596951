using System.Text;
using System.Text.Json;
using Launchd.Cli.Connecting;
using Xunit;

namespace Launchd.Tests.Cli;

public sealed class AnswerEnvelopeTests
{
    [Theory]
    [InlineData("""{"parameters":{"a":[1,{"b":"}"}]}}""", """{"a":[1,{"b":"}"}]}""", null, false)]
    [InlineData("""{"parameters" : null , "continues":true}""", "null", null, true)]
    [InlineData("""{"error":"org.X","parameters":{}}""", "{}", "org.X", false)]
    [InlineData("""{"later":[{"error":1}],"error":"org.X"}""", "", "org.X", false)]
    [InlineData("{}", "", null, false)]
    public void ParametersArePassedOver(string message, string parameters, string? error, bool continues)
    {
        AnswerEnvelope read = AnswerEnvelope.Read(Encoding.UTF8.GetBytes(message));

        Assert.Equal(parameters, Encoding.UTF8.GetString(read.Parameters));
        Assert.Equal((error, continues), (read.Error, read.Continues));
    }

    [Theory]
    [InlineData("")]
    [InlineData("[]")]
    [InlineData("""{"parameters":{"a":1}""")]
    [InlineData("""{"parameters":{}} {}""")]
    [InlineData("""{"error":1}""")]
    [InlineData("""{"continues":"yes"}""")]
    public void WhatIsNoEnvelope_IsAnException(string message)
    {
        Exception? thrown = Record.Exception(() => _ = AnswerEnvelope.Read(Encoding.UTF8.GetBytes(message)).Continues);

        Assert.True(thrown is JsonException or InvalidOperationException, $"{thrown}");
    }
}
