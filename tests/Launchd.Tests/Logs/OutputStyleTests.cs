using System.Text;
using Launchd.Logs;
using Xunit;

namespace Launchd.Tests.Logs;

public sealed class OutputStyleTests
{
    [Theory]
    [InlineData(true, "TERM=xterm LANG=C.UTF-8", true, "│")]
    [InlineData(true, "TERM=xterm LANG=C.UTF-8 NO_COLOR=1", false, "│")]
    [InlineData(true, "TERM=dumb LANG=C.UTF-8", false, "│")]
    [InlineData(true, "TERM=xterm LANG=C", true, "|")]
    [InlineData(true, "TERM=xterm LANG=en_US.utf8 LC_ALL=C", true, "|")]
    [InlineData(true, "TERM=xterm LANG=C LC_ALL=de_DE.UTF-8", true, "│")]
    [InlineData(true, "TERM=xterm", true, "|")]
    [InlineData(false, "TERM=xterm LANG=C", false, "│")]
    public void TheEnvironmentDecides(bool isTerminal, string variables, bool colour, string bar)
    {
        Dictionary<string, string> environment = variables.Split(' ').Select(v => v.Split('=')).ToDictionary(v => v[0], v => v[1]);

        Assert.Equal(new OutputStyle(colour, bar), OutputStyle.Detect(isTerminal, n => environment.GetValueOrDefault(n)));
    }

    [Fact]
    public void ThePrefix_IsPaddedToTheWidestName() =>
        Assert.Equal("web.0    │ ", Encoding.UTF8.GetString(OutputStyle.Plain.Prefix("web", 0, width: 8)));

    [Fact]
    public void AColouredPrefix_ResetsTheColourBeforeTheLine() =>
        Assert.Equal($"\x1b[{OutputStyle.ColourOf("web")}mweb.12 |\x1b[0m ",
            Encoding.UTF8.GetString(new OutputStyle(Colour: true, "|").Prefix("web", 12, width: 0)));

    [Fact]
    public void ColoursAreStable_AndDiffer()
    {
        // Written down, not computed: a change of the hash would recolour everybody's services.
        Assert.Equal(OutputStyle.ColourOf("web"), OutputStyle.ColourOf("web"));
        Assert.True(new[] { "web", "db", "cache", "mail", "queue", "cron" }.Select(OutputStyle.ColourOf).Distinct().Count() >= 3);
    }
}
