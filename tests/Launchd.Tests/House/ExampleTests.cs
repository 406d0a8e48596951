using System.Text.RegularExpressions;
using Launchd.Config.Loading;
using Launchd.Config.Sources;
using Xunit;

namespace Launchd.Tests.House;

/// <summary>What a user may copy is read without a diagnostic: every example, every TOML block of the documents.</summary>
public sealed partial class ExampleTests
{
    [Fact]
    public void ExamplesHaveNoDiagnostics()
    {
        SourceFile[] examples = [.. SourceTree.Files("config/examples", "*.toml"), .. SourceTree.Files("samples", "*.toml")];

        Assert.NotEmpty(examples);
        Verdict.None(examples.SelectMany(Diagnostics));
    }

    [Fact]
    public void BlocksInDocumentsHaveNoDiagnostics()
    {
        SourceFile[] blocks = [.. SourceTree.Files("", "*.md").SelectMany(Blocks)];

        Assert.NotEmpty(blocks);
        Verdict.None(blocks.SelectMany(Diagnostics));
    }

    [Theory]
    [InlineData("[services.a]\ncomand = [\"true\"]\n")]
    [InlineData("[services.a]\ncommand = [\"true\"]\nsockets = [\"b\"]\n")]
    [InlineData("[sockets.a\n")]
    public void AWrongExampleIsFound(string text) => Assert.NotEmpty(Diagnostics(new SourceFile("wrong.toml", text)));

    /// <summary>Blocks of TOML. One that shows something else than a whole file says so: <c>```toml fragment</c>.</summary>
    [GeneratedRegex(@"^```toml\n(?<text>.*?)^```$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Block();

    private static IEnumerable<SourceFile> Blocks(SourceFile document) =>
        Block().Matches(document.Text).Select((m, i) => new SourceFile($"{document.FilePath}.{i + 1}.toml", m.Groups["text"].Value));

    private static IEnumerable<string> Diagnostics(SourceFile file)
    {
        string path = "/etc/" + Path.GetFileName(file.FilePath).Replace(".md.", "-", StringComparison.Ordinal);
        ConfigResult result = ConfigReader.Read(new ConfigSource
        {
            FilePath = path,
            DisplayPath = file.FilePath,
            Environment = new Dictionary<string, string> { ["PATH"] = "/usr/bin:/bin", ["HOME"] = "/root", ["USER"] = "root" },
            UserId = 0,
            Files = new OneFile(path, file.Text),
        });
        return result.Diagnostics.IsEmpty ? [] : [result.Print()];
    }

    /// <summary>A file system that holds the one text.</summary>
    private sealed class OneFile(string path, string text) : IConfigFiles
    {
        public ConfigFileContent Read(string absolutePath, int mostBytes) =>
            absolutePath == path
                ? new ConfigFileContent(System.Text.Encoding.UTF8.GetBytes(text), Problem: null)
                : ConfigFileContent.Failed("does not exist");

        public IReadOnlyList<string> List(string absolutePattern) => [];

        public string? FindDistrust(string absolutePath) => null;
    }
}
