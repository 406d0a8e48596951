using System.Text;
using Launchd.Config.Diagnostics;
using Launchd.Config.Loading;
using Xunit;

namespace Launchd.Tests.Config;

public sealed class DiagnosticCodeTests
{
    private const string Web = "[services.web]\ncommand = [\"web\"]\n";
    private const string Http = "[sockets.http]\nlisten = \"tcp://127.0.0.1:80\"\n";

    /// <summary>For each code a configuration that leads to it and to nothing else.</summary>
    private static readonly Dictionary<DiagnosticCode, string> Examples = new()
    {
        [DiagnosticCode.BadSyntax] = "[services.web\n",
        [DiagnosticCode.FileTooLarge] = "#" + new string('x', DocumentLoader.MostFileBytes),
        [DiagnosticCode.NestedTooDeep] = "name = " + new string('[', 100),
        [DiagnosticCode.NulByte] = "# \0",
        [DiagnosticCode.FileUnreadable] = "include = [\"missing.toml\"]",
        [DiagnosticCode.IncludeLoop] = "include = [\"web.toml\"]",
        [DiagnosticCode.NothingIncluded] = "include = [\"conf.d/*.toml\"]",
        [DiagnosticCode.UnknownKey] = Web + "comand = 1",
        [DiagnosticCode.DuplicateKey] = Web + "command = [\"two\"]",
        [DiagnosticCode.DefinedTwice] = "include = [\"other.toml\"]\n" + Web,
        [DiagnosticCode.KeyNotAllowedHere] = "[defaults]\ncommand = [\"x\"]",
        [DiagnosticCode.BadName] = "[services.\"a b\"]\ncommand = [\"x\"]",
        [DiagnosticCode.KeyMissing] = "[services.web]",
        [DiagnosticCode.WrongType] = Web + "instances = true",
        [DiagnosticCode.BadForm] = Web + "ready_timeout = \"30\"",
        [DiagnosticCode.OutOfRange] = Web + "instances = 1001",
        [DiagnosticCode.UnknownChoice] = Web + "restart = \"maybe\"",
        [DiagnosticCode.BadAddress] = Web + "sockets = [\"http\"]\n[sockets.http]\nlisten = \"127.0.0.1:80\"",
        [DiagnosticCode.HostName] = Web + "sockets = [\"http\"]\n[sockets.http]\nlisten = \"tcp://example.org:80\"",
        [DiagnosticCode.UnsetVariable] = Web + "description = \"${NOT_SET}\"",
        [DiagnosticCode.PlaceholderNotHere] = Web + "description = \"${slot}\"",
        [DiagnosticCode.BadSubstitution] = Web + "description = \"${open\"",
        [DiagnosticCode.ReservedCharacter] = Web + "description = \"\uE000\"",
        [DiagnosticCode.EmptyValue] = "[services.web]\ncommand = []",
        [DiagnosticCode.PathTooLong] = Web + $"working_directory = \"/{new string('x', 5000)}\"",
        [DiagnosticCode.Contradiction] = Web + "files = [\"a\"]\n[files.a]\npath = \"/a\"\ndirectory = \"/b\"",
        [DiagnosticCode.RepeatedEntry] = Web + "sockets = [\"http\", \"http\"]\n" + Http,
        [DiagnosticCode.UnknownReference] = Web + "sockets = [\"htpp\"]\n",
        [DiagnosticCode.DependencyCycle] = Web + "after = [\"web\"]",
        [DiagnosticCode.DuplicateAddress] = Web + "sockets = [\"http\", \"two\"]\n"
            + Http + "[sockets.two]\nlisten = \"tcp://127.0.0.1:80\"",
        [DiagnosticCode.SharedTrigger] =
            Web + "start = \"demand\"\nsockets = [\"http\"]\n[services.b]\ncommand = [\"b\"]\nstart = \"demand\"\nsockets = [\"http\"]\n"
                + Http,
        [DiagnosticCode.UnknownDescriptor] = "[services.web]\ncommand = [\"web\", \"${fd:http}\"]",
        [DiagnosticCode.NeedsSocket] = Web + "start = \"demand\"",
        [DiagnosticCode.NeedsConnections] =
            Web + "start = \"connection\"\nsockets = [\"dns\"]\n[sockets.dns]\nlisten = \"udp://127.0.0.1:53\"",
        [DiagnosticCode.NeedsLog] = Web + "output = \"null\"\nready = { output = \"up\" }",
        [DiagnosticCode.DescriptorTaken] = Web + "ready = { descriptor = 3 }\nsockets = [\"http\"]\n" + Http,
        [DiagnosticCode.TildeStays] = Web + "working_directory = \"~/shop\"",
        [DiagnosticCode.NoEffect] = Web + "idle_timeout = \"5m\"",
        [DiagnosticCode.NeverUsed] = Http,
        [DiagnosticCode.AbstractSocket] = Web + "sockets = [\"a\"]\n[sockets.a]\nlisten = \"unix:@a\"",
        [DiagnosticCode.KnownNotToWork] =
            "[services.ssh]\ncommand = [\"sshd\", \"-D\"]\nsockets = [\"http\"]\nreload = { signal = \"HUP\" }\n" + Http,
        [DiagnosticCode.EndNotAwaited] = Web + "after = [\"once\"]\n[services.once]\ncommand = [\"once\"]\nrestart = \"never\"",
        [DiagnosticCode.NeedsRoot] = Web + "user = \"www-data\"",
        [DiagnosticCode.VariableLeftOut] = Web + "pass_environment = [\"ODD\"]",
        [DiagnosticCode.NotBuilt] = Web + "cgroup = { pids_max = 3 }",
        [DiagnosticCode.NotUtf8] = "",
        [DiagnosticCode.FileNotTrusted] = "",
    };

    /// <summary>
    /// Not of the reading: what a machine has not, which is found out on one (<c>ListenerKindTests</c>, <c>BirthFailureTests</c>).
    /// </summary>
    private static readonly DiagnosticCode[] OfTheMachine =
    [
        DiagnosticCode.NotHere, DiagnosticCode.NotPermitted, DiagnosticCode.OthersDecide, DiagnosticCode.ProgramNotHere,
        DiagnosticCode.LimitTooHigh, DiagnosticCode.LimitTooLow, DiagnosticCode.LineLeftOut,
    ];

    public static TheoryData<int> CodesOfTheReading => new(Enum.GetValues<DiagnosticCode>().Except(OfTheMachine).Select(c => (int)c));

    public static TheoryData<int> AllCodes => new(Enum.GetValues<DiagnosticCode>().Select(c => (int)c));

    [Theory]
    [MemberData(nameof(CodesOfTheReading))]
    public void EachCodeHasAConfigurationThatLeadsToIt(int number)
    {
        DiagnosticCode code = (DiagnosticCode)number;
        MemoryFiles files = new MemoryFiles().Add("/etc/shop/other.toml", Web);
        files.Add(Reading.FilePath, code == DiagnosticCode.NotUtf8 ? [(byte)'#', 0xC3, 0x28] : Encoding.UTF8.GetBytes(Examples[code]));
        if (code == DiagnosticCode.FileNotTrusted)
            files.Distrusts.Add(Reading.FilePath, "'/etc/shop' belongs to user 1000");
        uint userId = code == DiagnosticCode.FileNotTrusted ? 0u : 1000u;

        ConfigResult result = ConfigReader.Read(Reading.Source(files, userId, ("ODD", "\uE000")));

        Assert.Equal([code], result.Diagnostics.Select(d => d.Code).Distinct());
        Assert.Equal(result.Diagnostics.Any(d => d.IsError), result.Definition is null);
    }

    [Theory]
    [MemberData(nameof(AllCodes))]
    public void EachCodeIsExplainedInTheDocumentation(int number) =>
        Assert.Contains($"| LD{number} |", ConfigurationDocumentTests.Document, StringComparison.Ordinal);
}
