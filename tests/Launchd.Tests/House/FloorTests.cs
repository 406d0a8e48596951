using System.Text.RegularExpressions;
using Xunit;

namespace Launchd.Tests.House;

/// <summary>
/// Which folder of <c>src/Launchd</c> may know which other. Two pillars stand side by side and know nothing of each other: decisions
/// (Model, Config, Core) and the kernel (Interop, Linux, and the keeper above them); only Logs and Host join them. Both speak of the same
/// addresses, which know neither. Two projects cannot enforce that, so this test does.
/// </summary>
public sealed partial class FloorTests
{
    private static readonly Dictionary<string, string[]> Floors = new()
    {
        ["Addresses"] = [],
        ["Model"] = ["Addresses"],
        ["Control"] = [],
        ["Config"] = ["Addresses", "Model"],
        ["Core"] = ["Addresses", "Model"],
        ["Interop"] = ["Client"],
        ["Linux"] = ["Addresses", "Interop", "Client"],
        ["Keeper"] = ["Addresses", "Interop", "Linux", "Client"],
        ["Logs"] = ["Addresses", "Model", "Control", "Config", "Interop", "Linux", "Client"],
        ["Host"] = ["Addresses", "Model", "Control", "Config", "Core", "Interop", "Linux", "Client", "Keeper", "Logs"],
        ["Cli"] = ["Addresses", "Model", "Control", "Config", "Core", "Interop", "Linux", "Client", "Keeper", "Logs", "Host"],
        // The entry point, at the top of the folder.
        [""] = ["Cli"],
    };

    private static readonly Dictionary<string, string[]> Packages = new()
    {
        ["Tomlyn"] = ["Config", "Cli"],
        ["Tmds"] = ["Interop", "Linux", "Cli"],
        ["Microsoft.Extensions.Logging"] = ["Host"],
        ["System.CommandLine"] = ["Cli"],
        ["System.Formats.Cbor"] = ["Core", "Host"],
    };

    [Fact]
    public void EveryFloorUsesOnlyTheFloorsBelowIt()
    {
        IEnumerable<SourceFile> files = SourceTree.Files("src/Launchd");

        Assert.NotEmpty(files);
        Verdict.None(files.SelectMany(Violations));
    }

    [Theory]
    [InlineData("Addresses/A.cs", "using Launchd.Model;")]
    [InlineData("Addresses/A.cs", "using Launchd.Client;")]
    [InlineData("Interop/A.cs", "Addresses.ListenAddress address;")]
    [InlineData("Control/A.cs", "using Launchd.Addresses;")]
    [InlineData("Model/A.cs", "using Launchd.Core;")]
    [InlineData("Core/A.cs", "using Launchd.Linux;")]
    [InlineData("Core/A.cs", "using Launchd.Client;")]
    [InlineData("Core/A.cs", "using static Launchd.Host.Names;")]
    [InlineData("Core/A.cs", "using Loop = Launchd.Linux.Loop.EventLoop;")]
    [InlineData("Config/A.cs", "global using Launchd.Interop;")]
    [InlineData("Core/A.cs", "int x = Linux.ProcessHandle.Open(7);")]
    [InlineData("Linux/A.cs", "Launchd.Model.ServiceName name;")]
    [InlineData("Host/A.cs", "var x = (Cli.ExitCode)1;")]
    [InlineData("Keeper/A.cs", "using Launchd.Config.Loading;")]
    [InlineData("Keeper/A.cs", "using Launchd.Host;")]
    [InlineData("Logs/A.cs", "using Launchd.Host;")]
    [InlineData("Logs/A.cs", "using Launchd.Core;")]
    [InlineData("Logs/A.cs", "using Microsoft.Extensions.Logging;")]
    [InlineData("Core/A.cs", "using Tmds.Linux;")]
    [InlineData("Host/A.cs", "using Tomlyn.Syntax;")]
    [InlineData("Strange/A.cs", "int x;")]
    public void AForbiddenUseIsFound(string path, string text) =>
        Assert.NotEmpty(Violations(new SourceFile("src/Launchd/" + path, text)));

    [Theory]
    [InlineData("Core/A.cs", "using Launchd.Model; // not Launchd.Linux")]
    [InlineData("Core/A.cs", "namespace Launchd.Core;")]
    [InlineData("Core/A.cs", "int count = listener.Addresses.Length;")]
    [InlineData("Model/A.cs", "using Launchd.Addresses;")]
    [InlineData("Linux/A.cs", "using Launchd.Addresses;")]
    [InlineData("Core/A.cs", "int x = service.Host.Length;")]
    [InlineData("Config/A.cs", "using Tomlyn.Syntax;")]
    [InlineData("Linux/A.cs", "using static Tmds.Linux.LibC;")]
    [InlineData("Host/A.cs", "using Launchd.Linux; using Launchd.Core;")]
    public void AnAllowedUseIsNotReported(string path, string text) =>
        Assert.Empty(Violations(new SourceFile("src/Launchd/" + path, text)));

    /// <summary>What follows <c>Launchd.</c>, or a floor's name before a dot, as in <c>Linux.ProcessHandle</c>.</summary>
    [GeneratedRegex(
        @"\bLaunchd\.(?<floor>\w+)|(?<![\w.])(?<floor>Addresses|Model|Control|Config|Core|Interop|Linux|Keeper|Logs|Host|Cli)\.(?=[A-Z])")]
    private static partial Regex FloorMention();

    private static IEnumerable<string> Violations(SourceFile file)
    {
        string[] parts = file.FilePath.Split('/');
        string floor = parts.Length > 3 ? parts[2] : "";
        if (!Floors.TryGetValue(floor, out string[]? allowed))
        {
            yield return file.At(1, $"'{floor}' is no floor: add it to {nameof(FloorTests)} and to docs/design.md");
            yield break;
        }

        foreach ((int number, string line) in file.CodeLines())
        {
            foreach (Match match in FloorMention().Matches(line))
            {
                string used = match.Groups["floor"].Value;
                if (used != floor && !allowed.Contains(used) && (Floors.ContainsKey(used) || used == "Client"))
                    yield return file.At(number, $"{floor} must not know {used}");
            }
            foreach ((string package, string[] users) in Packages)
            {
                if (Regex.IsMatch(line, $@"\busing (static )?(\w+ = )?{Regex.Escape(package)}\b") && !users.Contains(floor))
                    yield return file.At(number, $"only {string.Join(", ", users)} may use {package}");
            }
        }
    }
}
