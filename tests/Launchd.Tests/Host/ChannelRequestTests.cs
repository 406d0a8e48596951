using System.Text;
using Launchd.Host.Channel;
using Xunit;

namespace Launchd.Tests.Host;

/// <summary>Packets of programs: each is read whole or refused with the place of its fault, and none throws.</summary>
public sealed class ChannelRequestTests
{
    [Fact]
    public void EveryParameterIsRead_InAnyOrder()
    {
        ChannelRequest request = Good("""
            {"parameters":{"wait":5,"access":"write","mode":"reopen","slot":2,"name":"ring","service":"cache"},
             "more":true,"oneway":true,"method":"org.launchd-cs.Instance.Request"}
            """);

        Assert.Equal(ChannelMethod.Request, request.Rule!.Method);
        Assert.Equal(("cache", "ring", 2, "reopen", "write", 5L),
            (request.Service, request.Name, request.Slot, request.Mode, request.Access, request.Wait));
        Assert.True(request is { IsOneway: true, IsMore: true });
        Assert.Equal(["a", "b"], Good(Of("Get", """{"names":["a","b"]}""")).Names);
        ChannelRequest store = Good(Of("Store", """{"name":"x","replace":true,"poll":false}"""));
        Assert.True(store is { Replace: true, IfAbsent: false, Poll: false });
        Assert.Equal("\u00e4 line", Good(Of("Status", """{"text":"\u00e4 line"}""")).Text);
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("", "nonsense")]
    [InlineData("", "[]")]
    [InlineData("", "{} {}")]
    [InlineData("", "{\"method\":\"\\ud800\"}")]
    [InlineData("", "{\"parameters\":{\"a\":[[[[[[1]]]]]]}}")]
    [InlineData("method", "{}")]
    [InlineData("method", "{\"method\":7}")]
    [InlineData("method", "{\"method\":\"a\",\"method\":\"b\"}")]
    [InlineData("oneway", "{\"method\":\"a\",\"oneway\":1}")]
    [InlineData("parameters", "{\"method\":\"a\",\"parameters\":[]}")]
    [InlineData("id", "{\"method\":\"a\",\"id\":1}")]
    public void AWrongEnvelopeIsAFault(string parameter, string packet) => Assert.Equal(parameter, Fault(packet).Parameter);

    [Theory]
    [InlineData("name", "Get", """{"name":"a"}""")]
    [InlineData("names", "Get", """{"names":"a"}""")]
    [InlineData("names", "Get", """{"names":["a",1]}""")]
    [InlineData("name", "Store", "{}")]
    [InlineData("name", "Store", """{"name":""}""")]
    [InlineData("name", "Store", """{"name":"a:b"}""")]
    [InlineData("name", "Store", """{"name":"a","name":"a"}""")]
    [InlineData("replace", "Store", """{"name":"a","replace":"yes"}""")]
    [InlineData("number", "Publish", """{"name":"a"}""")]
    [InlineData("number", "Publish", """{"name":"a","number":-1}""")]
    [InlineData("number", "Publish", """{"name":"a","number":2147483648}""")]
    [InlineData("number", "Publish", """{"name":"a","number":1.5}""")]
    [InlineData("mode", "Request", """{"service":"a","name":"b","mode":"steal"}""")]
    [InlineData("wait", "Request", """{"service":"a","name":"b","wait":9223372036854775807}""")]
    [InlineData("text", "Status", """{"text":"two\nlines"}""")]
    public void AWrongParameterIsNamed(string parameter, string method, string parameters) =>
        Assert.Equal(parameter, Fault(Of(method, parameters)).Parameter);

    [Fact]
    public void AnUnknownMethodIsNoFault_ButHasNoRule()
    {
        Assert.Null(Good("{\"method\":\"org.example.Ping\",\"parameters\":{\"whatever\":1}}").Rule);
        Assert.Equal("org.launchd-cs.Instance.Got", Good(Of("Got", "{}")).MethodName);
    }

    [Fact]
    public void NoBytesThrow()
    {
        Random random = new(20);
        byte[] good = Encoding.UTF8.GetBytes(Of("Request", """{"service":"cache","name":"ring","wait":5,"mode":"direct"}"""));
        for (int i = 0; i < 20_000; i++)
        {
            byte[] packet = [.. good];
            for (int changes = random.Next(1, 6); changes > 0; changes--)
                packet[random.Next(packet.Length)] = (byte)random.Next(256);
            _ = ChannelRequest.Read(packet.AsSpan(0, random.Next(packet.Length + 1)), out _);
        }
    }

    private static string Of(string method, string parameters) =>
        $$"""{"method":"org.launchd-cs.Instance.{{method}}","parameters":{{parameters}}}""";

    private static ChannelRequest Good(string packet)
    {
        Assert.Null(ChannelRequest.Read(Encoding.UTF8.GetBytes(packet), out ChannelRequest request));
        return request;
    }

    private static RequestFault Fault(string packet)
    {
        RequestFault? fault = ChannelRequest.Read(Encoding.UTF8.GetBytes(packet), out _);
        Assert.NotNull(fault);
        Assert.NotEqual("", fault.Value.Text);
        return fault.Value;
    }
}
