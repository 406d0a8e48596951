using System.Text;
using Launchd.Logs;
using Xunit;

namespace Launchd.Tests.Logs;

public sealed class LineEscaperTests
{
    [Theory]
    [InlineData("plain text", "plain text")]
    [InlineData("tab\tkept", "tab\tkept")]
    [InlineData("grüße ✓ 😀", "grüße ✓ 😀")]
    [InlineData("\x1b[31mred\x1b[0m", "red")]
    [InlineData("\x1b[38;5;196mred\x1b[m", "red")]
    [InlineData("\x1b[2J\x1b]0;title\a", @"\x1b[2J\x1b]0;title\x07")]
    [InlineData("\x1b[31", @"\x1b[31")]
    [InlineData("\x1b", @"\x1b")]
    [InlineData("a\rb", @"a\x0db")]
    [InlineData("\u009b31m", @"\u009b31m")]
    [InlineData("evil\u202egnp.exe", @"evil\u202egnp.exe")]
    [InlineData("\U000E0041", @"\U000e0041")]
    [InlineData("\x7f\0", @"\x7f\x00")]
    public void TextBecomesSafe(string text, string expected) => Assert.Equal(expected, Escape(Encoding.UTF8.GetBytes(text)));

    [Theory]
    [InlineData(new byte[] { 0xFF, (byte)'a' }, @"\xffa")]
    [InlineData(new byte[] { 0x9B, (byte)'2', (byte)'J' }, @"\x9b2J")]
    [InlineData(new byte[] { 0xC0, 0xAF }, @"\xc0\xaf")]
    [InlineData(new byte[] { 0xED, 0xA0, 0x80 }, @"\xed\xa0\x80")]
    [InlineData(new byte[] { 0xE2, 0x9C }, @"\xe2\x9c")]
    [InlineData(new byte[] { 0xE2, 0x9C, (byte)'x' }, @"\xe2\x9cx")]
    public void InvalidBytesAreShownByNumber(byte[] bytes, string expected) => Assert.Equal(expected, Escape(bytes));

    [Fact]
    public void NoCharacterOfTheBasicPlane_LetsAControlThrough()
    {
        for (int code = 0; code <= 0xFFFF; code++)
        {
            if (!Rune.IsValid(code))
                continue;
            string shown = Escape(Encoding.UTF8.GetBytes("a" + new Rune(code) + "b"));
            Assert.False(shown.Any(c => c != '\t' && char.IsControl(c)), $"U+{code:x4}");
            Assert.True(shown[0] == 'a' && shown[^1] == 'b', $"U+{code:x4}");
        }
    }

    [Fact]
    public void NoShortSequenceOfBytes_LetsAControlThrough_OrOutgrowsTheRoom()
    {
        var random = new Random(20260131);
        byte[] bytes = new byte[4];
        byte[] target = new byte[bytes.Length * LineEscaper.Growth];
        for (int round = 0; round < 300_000; round++)
        {
            random.NextBytes(bytes);
            int length = LineEscaper.Write(bytes, target);
            Assert.Equal(length, LineEscaper.LengthOf(bytes));
            Assert.True(System.Text.Unicode.Utf8.IsValid(target.AsSpan(0, length)));
            foreach (char c in Encoding.UTF8.GetString(target, 0, length))
                Assert.True(c == '\t' || !char.IsControl(c));
        }
    }

    [Fact]
    public void TextForPrograms_KeepsControls_AndShowsInvalidBytes() =>
        Assert.Equal("\x1b[1mé\\xff", LineEscaper.ToText([0x1B, (byte)'[', (byte)'1', (byte)'m', 0xC3, 0xA9, 0xFF]));

    [Fact]
    public void SafeText_EscapesLineEnds() => Assert.Equal(@"a\x0ab", LineEscaper.ToSafeText("a\nb"));

    private static string Escape(byte[] line)
    {
        byte[] target = new byte[line.Length * LineEscaper.Growth];
        return Encoding.UTF8.GetString(target, 0, LineEscaper.Write(line, target));
    }
}
