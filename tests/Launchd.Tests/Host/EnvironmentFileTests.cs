using System.Text;
using Launchd.Host.Provisioning;
using Xunit;

namespace Launchd.Tests.Host;

public sealed class EnvironmentFileTests
{
    /// <summary>What systemd 252 makes of a file, measured with a unit for each: variables of one line each, sorted.</summary>
    [Theory]
    [InlineData("V=1", "V=1")]
    [InlineData("V=\"x y\" z", "V=x yz")]
    [InlineData("V=\"a\" # c", "V=a# c")]
    [InlineData("V=\"x\"y\"z\"", "V=xy\"z\"")]
    [InlineData("V=a\"b\"", "V=a\"b\"")]
    [InlineData("V=a \"b\" c", "V=a \"b\" c")]
    [InlineData("V=it's", "V=it's")]
    [InlineData("V=x'", "V=x'")]
    [InlineData("V='\nW=2", "V=\\nW=2")]
    [InlineData("V=\"open\nW=2", "V=open\\nW=2")]
    [InlineData("export V=1\nW=2", "W=2")]
    [InlineData("export  V=\"a b\"\nW=2", "W=2")]
    [InlineData("O\nW=2", "W=2")]
    [InlineData("=p\nW=2", "W=2")]
    [InlineData("# c \\\nV=1\nW=2", "W=2")]
    [InlineData("V='q'w", "V=qw")]
    [InlineData("V=a\\\nb", "V=ab")]
    [InlineData("V=a;b", "V=a;b")]
    [InlineData("V=a # c", "V=a # c")]
    [InlineData("V= \"a\" ", "V=a")]
    [InlineData("V=\\x41", "V=x41")]
    [InlineData("V=\"\\x41\"", "V=\\x41")]
    [InlineData("V=\"a\\nb\"", "V=a\\nb")]
    [InlineData("V=a\\ b", "V=a b")]
    [InlineData("V=\"a\"'b'c", "V=abc")]
    [InlineData("V=1\r\nW=2\r\n", "V=1 W=2")]
    [InlineData("V=$HOME", "V=$HOME")]
    [InlineData("V=${W}", "V=${W}")]
    [InlineData("V =1", "V=1")]
    [InlineData("V= =1", "V==1")]
    [InlineData("V=\"a\\\nb\"", "V=ab")]
    [InlineData("V='a\\\nb'", "V=a\\\\nb")]
    [InlineData("V=\"a\nb\"\nW=2", "V=a\\nb W=2")]
    [InlineData("V='a\nb'\nW=2", "V=a\\nb W=2")]
    [InlineData("; c\n  ; c\n# c\nV=1", "V=1")]
    [InlineData("V=1\nV=2", "V=2")]
    [InlineData("V=\nW=2", "V= W=2")]
    [InlineData("V={\"k\":\"v\"}", "V={\"k\":\"v\"}")]
    [InlineData("V='{\"k\":\"v\"}'", "V={\"k\":\"v\"}")]
    [InlineData("V=say \"hi\" now  ", "V=say \"hi\" now")]
    [InlineData("V=a\\ \t ", "V=a ")]
    [InlineData("V=\"a \" ", "V=a ")]
    [InlineData("V=\"q\\\"q\\`\\$\\\\\"", "V=q\"q`$\\")]
    [InlineData("V=one \\\n  two", "V=one   two")]
    public void AFileIsReadAsSystemdReadsIt(string text, string expected) => Assert.Equal(expected, VariablesOf(text, out _));

    /// <summary>Systemd leaves these names out. The kernel allows them, programs have them, and one rule holds for all keys.</summary>
    [Theory]
    [InlineData("R-S=x\nA.B=1", "A.B=1 R-S=x")]
    [InlineData("spring.datasource.url=jdbc:x\nW=2", "W=2 spring.datasource.url=jdbc:x")]
    [InlineData("1Q=x", "1Q=x")]
    public void ANameMayHaveWhatTheKernelAllows(string text, string expected)
    {
        Assert.Equal(expected, VariablesOf(text, out IReadOnlyList<string> warnings));
        Assert.Empty(warnings);
    }

    [Theory]
    [InlineData("\uFEFFV=1", "V=1")]
    [InlineData("\uFEFF# c\nV=1", "V=1")]
    [InlineData("V=gr\u00FCn", "V=gr\u00FCn")]
    public void AByteOrderMarkIsSkipped(string text, string expected)
    {
        Assert.Equal(expected, VariablesOf(text, out IReadOnlyList<string> warnings));
        Assert.Empty(warnings);
    }

    [Theory]
    [InlineData("A=1\nMIIsecret\nB=2", "A=1 B=2", "line 2 is left out: it is not NAME=VALUE")]
    [InlineData("A=1\r\n\r\nsecret\r\nB=2", "A=1 B=2", "line 3 is left out: it is not NAME=VALUE")]
    [InlineData("A=\"x\ny\"\nsecret", "A=x\\ny", "line 3 is left out: it is not NAME=VALUE")]
    [InlineData("A=1\n=secret", "A=1", "line 2 is left out: it is not NAME=VALUE")]
    [InlineData("export A=secret", "", "line 1 is left out: 'export' is a word of shells: write NAME=VALUE alone")]
    [InlineData("set A=secret", "", "line 1 is left out: what stands before '=' cannot be the name of an environment variable")]
    [InlineData("A=1\nB=\"secret\n", "A=1 B=secret\\n",
        "line 2: a quote is not closed, so the value goes on to the end of the file")]
    public void ALineThatIsNoneIsToldByItsNumber_AndNeverByItsText(string text, string expected, string warning)
    {
        Assert.Equal(expected, VariablesOf(text, out IReadOnlyList<string> warnings));
        Assert.Equal([warning], warnings);
    }

    [Theory]
    [InlineData("V=1\nW=\u00A3\nX=3", "V=1 X=3")]
    [InlineData("\u00A3=1\nX=3", "X=3")]
    [InlineData("V='\u00A3'\nX=3", "X=3")]
    public void WhatIsNotUtf8IsLeftOutAlone(string latin1, string expected)
    {
        Dictionary<string, string> variables = [];
        EnvironmentFileParser parser = new(Encoding.Latin1.GetBytes(latin1), variables);

        Assert.Null(parser.Run());

        Assert.Equal(expected, Show(variables));
        Assert.EndsWith("is left out: it is not UTF-8", Assert.Single(parser.Warnings));
    }

    [Fact]
    public void AFileOfAnotherKindIsRefused_AndNothingIsTaken()
    {
        Dictionary<string, string> variables = [];

        Assert.StartsWith("it holds a NUL", new EnvironmentFileParser(Encoding.Unicode.GetBytes("A=1\n"), variables).Run());

        Assert.Empty(variables);
    }

    [Fact]
    public void OfManySuchLinesAFewAreToldOneByOne()
    {
        _ = VariablesOf(string.Concat(Enumerable.Repeat("text\n", 1000)), out IReadOnlyList<string> warnings);

        Assert.Equal(6, warnings.Count);
        Assert.Equal("995 more such lines", warnings[^1]);
    }

    private static string VariablesOf(string text, out IReadOnlyList<string> warnings)
    {
        Dictionary<string, string> variables = [];
        EnvironmentFileParser parser = new(Encoding.UTF8.GetBytes(text), variables);
        Assert.Null(parser.Run());
        warnings = parser.Warnings;
        return Show(variables);
    }

    private static string Show(Dictionary<string, string> variables) => string.Join(' ', variables
        .OrderBy(v => v.Key, StringComparer.Ordinal)
        .Select(v => $"{v.Key}={v.Value.Replace("\n", "\\n", StringComparison.Ordinal)}"));
}
