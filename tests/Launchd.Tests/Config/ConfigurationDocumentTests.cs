using System.Text.RegularExpressions;
using Launchd.Config.Loading;
using Launchd.Config.Tables;
using Launchd.Tests.House;
using Xunit;

namespace Launchd.Tests.Config;

public sealed class ConfigurationDocumentTests
{
    public static readonly string Document = File.ReadAllText(Path.Combine(SourceTree.Root, "docs", "configuration.md"));

    [Fact]
    public void EveryTomlBlockIsAConfigurationWithoutADiagnostic()
    {
        string[] blocks = [.. Regex.Matches(Document, "```toml\n(.*?)```", RegexOptions.Singleline).Select(m => m.Groups[1].Value)];

        Assert.InRange(blocks.Length, 6, 100);
        Assert.All(blocks, block => Assert.Equal("", Reading.Read(block).Print()));
    }

    [Fact]
    public void EveryKeyHasARowAndEveryRowIsAKey()
    {
        string[] known =
        [
            .. KnownKeys.Root.Where(k => k is "name" or "include"), .. KnownKeys.Supervisor,
            .. KnownKeys.Socket, .. KnownKeys.File, .. KnownKeys.Service,
        ];
        string[] rows = [.. Regex.Matches(Document, "^\\| `([a-z0-9_]+)` \\|", RegexOptions.Multiline).Select(m => m.Groups[1].Value)];

        Assert.Equal(known.Order(StringComparer.Ordinal), rows.Order(StringComparer.Ordinal));
    }

    [Fact]
    public void EveryRowsExampleSetsItsKey()
    {
        foreach (Match row in Regex.Matches(Document, "^\\| `([a-z0-9_]+)` \\|.*\\| `([^`]*)` \\|$", RegexOptions.Multiline))
            Assert.StartsWith(row.Groups[1].Value + " = ", row.Groups[2].Value, StringComparison.Ordinal);
    }

    [Fact]
    public void EveryExampleOfAServiceIsAcceptedOrNamedAsNotBuilt()
    {
        string section = Document[Document.IndexOf("## `[services.NAME]`", StringComparison.Ordinal)..];
        string[] examples =
            [.. Regex.Matches(section, "^\\| `[a-z_]+` \\|.*\\| `([^`]* = [^`]*)` \\|$", RegexOptions.Multiline)
                .Select(m => m.Groups[1].Value)];

        Assert.InRange(examples.Length, 50, 70);
        foreach (string example in examples.Where(e => !e.StartsWith("command", StringComparison.Ordinal)))
        {
            ConfigResult result = Reading.Read($"[services.x]\ncommand = [\"x\"]\n{example}\n");
            Assert.DoesNotContain(result.Diagnostics, d => (int)d.Code is < 1300);
        }
    }
}
