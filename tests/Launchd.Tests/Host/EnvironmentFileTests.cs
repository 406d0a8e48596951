using Launchd.Host.Provisioning;
using Xunit;

namespace Launchd.Tests.Host;

public sealed class EnvironmentFileTests
{
    [Theory]
    [InlineData("A=1", "A", "1")]
    [InlineData("  A = 1  ", "A", "1")]
    [InlineData("export A=1", "A", "1")]
    [InlineData("A=\"b c \"  ", "A", "b c ")]
    [InlineData("A='b\\n\"c'", "A", "b\\n\"c")]
    [InlineData("A=one \\\n  two", "A", "one   two")]
    [InlineData("A=\"one\ntwo\"", "A", "one\ntwo")]
    [InlineData("A=\"q\\\"q \\n\"", "A", "q\"q \\n")]
    [InlineData("A=a\"b\"'c'", "A", "abc")]
    [InlineData("# no\n; no\n\nA=x=y # part of it", "A", "x=y # part of it")]
    [InlineData("A=\r\nB=2\r\n", "B", "2")]
    public void AValueIsReadAsSystemdDoes(string text, string name, string value)
    {
        Dictionary<string, string> variables = [];

        Assert.Null(EnvironmentFileReader.Parse(text, variables));

        Assert.Equal(value, variables[name]);
    }

    [Theory]
    [InlineData("A=1\nMIIsecret+key/", "line 2 is not NAME=VALUE")]
    [InlineData("A=1\n=secret", "line 2 is not NAME=VALUE")]
    [InlineData("A=\"x\ny\"\n1B=secret", "line 3 is not NAME=VALUE")]
    [InlineData("A=1\nB=\"secret\n", "line 2: a quote is not closed")]
    [InlineData("A=\0", "it holds a NUL")]
    public void WhatIsWrongIsToldByItsLine_AndNothingIsTaken(string text, string problem)
    {
        Dictionary<string, string> variables = [];

        Assert.Equal(problem, EnvironmentFileReader.Parse(text, variables));

        Assert.Empty(variables);
    }
}
