using System.Text;
using Launchd.Config.Values;
using Launchd.Interop;
using Xunit;

namespace Launchd.Tests.Host;

public sealed class KernelTextTests
{
    [Theory]
    [InlineData("")]
    [InlineData("64 61 63 a3")]
    [InlineData("a3")]
    [InlineData("ff fe 00 c3")]
    [InlineData("c3 a4")]
    [InlineData("c3")]
    [InlineData("f0 9f 98 80")]
    [InlineData("f0 9f 98 80 80")]
    [InlineData("f0 9f 98")]
    [InlineData("ed b2 80")]
    [InlineData("ee 80 80")]
    [InlineData("61 ee 80 80 62 a3 c3 a4")]
    [InlineData("ef bf bd")]
    [InlineData("c0 80")]
    public void BytesComeBackAsTheyWere(string hex)
    {
        byte[] bytes = Convert.FromHexString(hex.Replace(" ", "", StringComparison.Ordinal));

        string text = KernelText.Decode(bytes);

        byte[] back = new byte[KernelText.ByteCount(text)];
        Assert.Equal(back.Length, KernelText.Encode(text, back));
        Assert.Equal(bytes, back);
        Assert.Equal(bytes.Length, ByteLength.Of(text));
        Assert.DoesNotContain('\uE000', text);
    }

    [Fact]
    public void BytesComeBackAsTheyWere_WhateverTheyAre()
    {
        Random random = new(7);
        for (int round = 0; round < 20_000; round++)
        {
            byte[] bytes = new byte[random.Next(12)];
            random.NextBytes(bytes);
            string text = KernelText.Decode(bytes);
            byte[] back = new byte[KernelText.ByteCount(text)];
            _ = KernelText.Encode(text, back);
            Assert.Equal(bytes, back);
        }
    }

    [Fact]
    public void ValidTextIsAsEverywhere()
    {
        const string text = "gr\u00FCn \U0001F600";
        Assert.Equal(text, KernelText.Decode(Encoding.UTF8.GetBytes(text)));
        Assert.Equal(Encoding.UTF8.GetByteCount(text), KernelText.ByteCount(text));
        Assert.Equal(text, KernelText.Show(text));
    }

    [Fact]
    public void WhatIsNotUtf8IsShownByItsNumber() =>
        Assert.Equal("dac\\xa3/\u00E4", KernelText.Show(KernelText.Decode([0x64, 0x61, 0x63, 0xA3, 0x2F, 0xC3, 0xA4])));
}
