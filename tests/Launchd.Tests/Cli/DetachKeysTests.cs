using System.Text;
using Launchd.Cli.Surroundings;
using Launchd.Cli.Verbs;
using Xunit;

namespace Launchd.Tests.Cli;

public sealed class DetachKeysTests
{
    [Theory]
    [InlineData("ctrl-]", "Ctrl-]")]
    [InlineData("ctrl-p,ctrl-q", "Ctrl-P Ctrl-Q")]
    [InlineData("CTRL-A,d", "Ctrl-A d")]
    [InlineData("ctrl-@,~", "Ctrl-@ ~")]
    public void KeysAreReadAndNamed(string text, string shown) => Assert.Equal(shown, DetachKeys.Parse(text).ToString());

    [Theory]
    [InlineData("")]
    [InlineData("ctrl-")]
    [InlineData("ctrl-p,")]
    [InlineData("ctrl-1")]
    [InlineData("alt-x,a")]
    [InlineData("ä")]
    [InlineData("a,b,c,d,e,f,g,h,i")]
    public void WhatAreNoKeysIsRefused(string text) =>
        Assert.Contains("--detach-keys takes keys", Assert.Throws<CliException>(() => DetachKeys.Parse(text)).Message);

    [Theory]
    [InlineData("x", "abc", "abc", false)]
    [InlineData("x", "abxc", "ab", true)]
    [InlineData("a,b", "aab", "a", true)]
    [InlineData("a,b", "ac", "ac", false)]
    [InlineData("a,b", "ca", "c", false)]
    [InlineData("a,a,b", "aaab", "a", true)]
    [InlineData("a,b,a,c", "ababac", "ab", true)]
    [InlineData("a,b,a,c", "abad", "abad", false)]
    public void WhatIsTypedIsPassedOn_WithoutTheKeys(string keys, string typed, string expected, bool isFound)
    {
        // In one piece, and key by key.
        for (int piece = 1; piece <= typed.Length; piece += Math.Max(1, typed.Length - 1))
        {
            DetachKeys sought = DetachKeys.Parse(keys);
            List<byte> passed = [];
            bool found = false;
            foreach (byte[] part in Encoding.ASCII.GetBytes(typed).Chunk(piece))
                found = found || sought.Take(part, passed);
            Assert.Equal((expected, isFound), (Encoding.ASCII.GetString([.. passed]), found));
        }
    }

    [Fact]
    public void WhatAProgramHasChangedOfTheScreenIsTakenBack()
    {
        ScreenModes modes = new();
        modes.Note("plain text\r\n"u8);
        Assert.Equal("", modes.Undone);
        modes.Note("\e[?10"u8);
        modes.Note("49h\e[?25l"u8);
        Assert.StartsWith("\e[?1049l\x0f\e(B\e[!p\e[0m\e[?7h\e[?25h", modes.Undone, StringComparison.Ordinal);
        modes.Note("bye\e[?1049l"u8);
        Assert.StartsWith("\x0f\e(B\e[!p", modes.Undone, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("\e[?47h", "\e[?47l")]
    [InlineData("\e[?1;1047h", "\e[?1047l")]
    [InlineData("\e[?1049;25h\e[?1049x", "\e[?1049l")]
    [InlineData("\e[?47h\e[?47;25l", "")]
    [InlineData("\e[1049h", "")]
    [InlineData("\e[?99999999991049h", "")]
    public void TheOtherScreenIsLeft_AsItWasChosen(string shown, string left)
    {
        ScreenModes modes = new();
        modes.Note(Encoding.ASCII.GetBytes(shown));
        Assert.StartsWith(left + "\x0f\e(B\e[!p", modes.Undone, StringComparison.Ordinal);
    }

    [Fact]
    public void LettersThatBecameLinesAreLettersAgain()
    {
        ScreenModes modes = new();
        modes.Note("\x0eqqq"u8);
        Assert.StartsWith("\x0f", modes.Undone, StringComparison.Ordinal);
    }
}
