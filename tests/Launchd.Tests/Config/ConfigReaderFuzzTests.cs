using System.Text;
using System.Text.RegularExpressions;
using Launchd.Config.Diagnostics;
using Launchd.Config.Loading;
using Launchd.Config.Sources;
using Launchd.Config.Toml;
using Xunit;

namespace Launchd.Tests.Config;

public sealed class ConfigReaderFuzzTests
{
    private const int Inputs = 24_000;

    private static readonly string[] Pieces =
    [
        "[", "]", "[[", "]]", "{", "}", "=", ",", ".", "\"", "'", "\"\"\"", "'''",
        "\n", "\r", "\r\n", "\\", "#", "${", "}", "${fd:", "${A:-", "$$", "\0", "\uE000", "\uFEFF",
        "é", "日", "\U0001F600", "0x", "1e9", "-", "99999999999999999999", "nan", "true", "1979-05-27",
        "services", "sockets", "defaults", "command", "listen", "\"tcp://*:1\"",
        "\"unix:\"", "{ output = \"(((\" }", "[services.web]", "include = [\"*\"]", "\"\\u", "\t", " ", "\u0001", "\u202E",
    ];

    [Theory]
    [InlineData(1)]
    [InlineData(20_26)]
    public void NoTextMakesTheReaderThrowOrTakeMuch(int seed)
    {
        Random random = new(seed);
        string[] corpus =
        [
            .. Regex.Matches(ConfigurationDocumentTests.Document, "```toml\n(.*?)```", RegexOptions.Singleline)
                .Select(m => m.Groups[1].Value),
            .. ((IEnumerable<object[]>)TomlTreeReaderTests.Valid).Select(row => (string)row[0]),
            .. ((IEnumerable<object[]>)TomlTreeReaderTests.Invalid).Select(row => (string)row[0]),
        ];
        long most = 0;
        for (int i = 0; i < Inputs / 2; i++)
        {
            byte[] bytes = Mutate(random, corpus);
            MemoryFiles files = new MemoryFiles().Add(Reading.FilePath, bytes);
            long before = GC.GetAllocatedBytesForCurrentThread();
            Exception? thrown = Record.Exception(() =>
            {
                ConfigResult result = ConfigReader.Read(Reading.Source(files, userId: 1000, ("A", "a")));
                string printed = result.Print();
                Assert.Equal(result.Definition is null, result.Diagnostics.Any(d => d.IsError));
                Assert.DoesNotContain(printed, c => char.IsControl(c) && c != '\n');
            });
            most = Math.Max(most, GC.GetAllocatedBytesForCurrentThread() - before);
            Assert.True(thrown is null, $"seed {seed}, input {i}: {Convert.ToBase64String(bytes)}\n{thrown}");
        }
        Assert.True(most < 16 << 20, $"{most} bytes were allocated for one input");
    }

    [Fact]
    public void TheReaderAndTomlynsParserAcceptTheSameTexts()
    {
        Random random = new(7);
        string[] corpus = [.. ((IEnumerable<object[]>)TomlTreeReaderTests.Valid).Select(row => (string)row[0])];
        for (int i = 0; i < 4_000; i++)
        {
            string text = Encoding.UTF8.GetString(Mutate(random, corpus)).Replace("\uFEFF", "", StringComparison.Ordinal);
            DiagnosticBag diagnostics = new();
            TomlTreeReader.Read(new SourceText("/t.toml", "t.toml", text), diagnostics);
            Assert.True(SyntaxTreeOracle.IsValid(text) == !diagnostics.HasErrors,
                $"input {i}: {Convert.ToBase64String(Encoding.UTF8.GetBytes(text))}");
        }
    }

    [Theory]
    [InlineData("a = [")]
    [InlineData("a = \"")]
    [InlineData("a.")]
    [InlineData("[a]\n")]
    [InlineData("[[a]]\n")]
    [InlineData("a = 1 ")]
    [InlineData("= \n")]
    [InlineData("x\n")]
    [InlineData("[services.a]\nafter = [\"b\"]\n")]
    public void TwiceAsManyMistakesCostTwiceAsMuch(string unit)
    {
        long some = Cost(unit, 200_000);

        long twiceAsMany = Cost(unit, 400_000);

        Assert.True(twiceAsMany < 3 * some, $"{twiceAsMany} bytes allocated, {some} for half of it");
    }

    /// <summary>What is allocated, for time would tell more of the machine than of the reader.</summary>
    private static long Cost(string unit, int bytes)
    {
        string text = string.Concat(Enumerable.Repeat(unit, bytes / unit.Length));
        long before = GC.GetAllocatedBytesForCurrentThread();
        Assert.Null(Reading.Read(text).Definition);
        return GC.GetAllocatedBytesForCurrentThread() - before;
    }

    private static byte[] Mutate(Random random, string[] corpus)
    {
        StringBuilder text = new(corpus[random.Next(corpus.Length)]);
        for (int n = random.Next(1, 6); n > 0; n--)
        {
            int at = random.Next(text.Length + 1);
            switch (random.Next(5))
            {
                case 0:
                    text.Insert(at, Pieces[random.Next(Pieces.Length)]);
                    break;
                case 1:
                    text.Remove(at, Math.Min(random.Next(1, 12), text.Length - at));
                    break;
                case 2:
                    string other = corpus[random.Next(corpus.Length)];
                    int from = random.Next(other.Length + 1);
                    text.Insert(at, other.AsSpan(from, Math.Min(random.Next(1, 60), other.Length - from)));
                    break;
                case 3 when text.Length > 0:
                    text[Math.Min(at, text.Length - 1)] = (char)random.Next(1, 0x2100);
                    break;
                default:
                    text.Insert(at, string.Concat(Enumerable.Repeat(Pieces[random.Next(Pieces.Length)], random.Next(1, 100))));
                    break;
            }
        }
        byte[] bytes = Encoding.UTF8.GetBytes(text.ToString());
        if (bytes.Length > 0 && random.Next(20) == 0)
            bytes[random.Next(bytes.Length)] = (byte)random.Next(256);
        return bytes;
    }
}
