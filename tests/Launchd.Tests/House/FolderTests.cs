using System.Text.RegularExpressions;
using Xunit;

namespace Launchd.Tests.House;

/// <summary>
/// Within a floor that is named here the folders stand one above the other: none knows, directly or through others, a folder that knows it.
/// So each can be read and changed with only those below it in mind. The compiler allows cycles within a project, so this test does not.
/// </summary>
public sealed partial class FolderTests
{
    private const string Sources = "src/Launchd/";

    private static readonly string[] TopNames = ["Host", "Linux", "Config", "Cli"];

    public static TheoryData<string> Tops => [.. TopNames];

    [Theory]
    [MemberData(nameof(Tops))]
    public void NoFolderKnowsOneThatKnowsIt(string top)
    {
        SourceFile[] files = [.. SourceTree.Files(Sources + top)];

        Assert.NotEmpty(files);
        // A search that finds nothing would find no cycle either.
        Assert.NotEmpty(files.SelectMany(f => Uses(f, TypesOf(files))));
        Verdict.None(Cycles(files));
    }

    /// <summary>What lies in no folder is known to all without a <c>using</c>.</summary>
    [Theory]
    [MemberData(nameof(Tops))]
    public void EverySourceLiesInAFolder(string top) =>
        Verdict.None(SourceTree.Files(Sources + top).Where(f => FolderOf(f).Length == 0).Select(f => f.At(1, "lies in no folder")));

    [Fact]
    public void NamespacesFollowFolders() => Verdict.None(SourceTree.Files("src/Launchd").SelectMany(WrongNamespaces));

    [Theory]
    [InlineData("using Launchd.Host.B;", "using Launchd.Host.A;", "")]
    [InlineData("using Launchd.Host.B;", "using Launchd.Host.C;", "using Launchd.Host.A;")]
    [InlineData("using static Launchd.Host.B.InB;", "using X = Launchd.Host.A.InA;", "")]
    [InlineData("private B.InB _b;", "private readonly Host.A.InA _a;", "")]
    [InlineData("private Launchd.Host.B.InB _b;", "List<A.InA> _all;", "")]
    public void ACycleIsFound(string a, string b, string c) =>
        Assert.All(TopNames, top => Assert.NotEmpty(Cycles(Three(top, Of(top, a, b, c)))));

    [Theory]
    [InlineData("using Launchd.Host.B;", "using Launchd.Host.C;", "")]
    [InlineData("using Launchd.Host.B; using Launchd.Host.C;", "using Launchd.Host.C;", "")]
    [InlineData("using Launchd.Host.B;", "// using Launchd.Host.A;", "")]
    [InlineData("using Launchd.Host.B;", "/// <see cref=\"A.InA\"/>", "")]
    [InlineData("using Launchd.Host.B;", "int count = A.Count;", "")]
    [InlineData("using Launchd.Host.B;", "int count = this.A.InA;", "")]
    [InlineData("A.InA own;", "", "")]
    public void NoCycleIsNotReported(string a, string b, string c) =>
        Assert.All(TopNames, top => Assert.Empty(Cycles(Three(top, Of(top, a, b, c)))));

    /// <summary>Several have folders of the same names, Loop among them.</summary>
    [Fact]
    public void AFolderOfTheOtherIsNoUse() =>
        Assert.Empty(
            Cycles(Three("Host", "using Launchd.Host.B;", "using Launchd.Linux.A;", "using Launchd.Linux.B; int x = Linux.A.InA.X;")));

    [Fact]
    public void ASourceInNoFolderIsFound() => Assert.Empty(FolderOf(new SourceFile("src/Launchd/Linux/X.cs", "namespace Launchd.Linux;")));

    [Theory]
    [InlineData("src/Launchd/Host/A/X.cs", "namespace Launchd.Host;")]
    [InlineData("src/Launchd/Host/A/X.cs", "namespace Launchd.Host.B;")]
    [InlineData("src/Launchd/Core/X.cs", "namespace Launchd.Core.A;")]
    public void ANamespaceOfAnotherFolderIsFound(string path, string text) => Assert.NotEmpty(WrongNamespaces(new SourceFile(path, text)));

    /// <summary>A folder's whole name, as in a <c>using</c>; or a name before a type's, as in <c>Channel.ChannelServer</c>.</summary>
    [GeneratedRegex(
        @"\bLaunchd\.(?<top>Host|Linux|Config|Cli)\.(?<folder>\w+)"
        + @"|(?<![\w.])((?<top>Host|Linux|Config|Cli)\.)?(?<folder>[A-Z]\w*)\.(?<type>[A-Z]\w*)")]
    private static partial Regex Mention();

    /// <summary>The examples name the host; so they are tried with each.</summary>
    private static string[] Of(string top, params string[] texts) => [.. texts.Select(t => Regex.Replace(t, @"\bHost\.", top + "."))];

    private static SourceFile[] Three(string top, params string[] texts) =>
    [
        .. texts.Select((text, i) => (Text: text, Folder: "ABC"[i])).Select(t => new SourceFile(
            $"{Sources}{top}/{t.Folder}/In{t.Folder}.cs",
            $"{t.Text}\nnamespace Launchd.{top}.{t.Folder};\ninternal sealed class In{t.Folder};\n")),
    ];

    private static string TopOf(SourceFile file) => file.FilePath[Sources.Length..].Split('/')[0];

    private static string FolderOf(SourceFile file) =>
        file.FilePath[Sources.Length..].Split('/') is [_, string folder, _, ..] ? folder : "";

    /// <summary>The types of each folder: a property may have a folder's name, and what is asked of it is no use of the folder.</summary>
    private static ILookup<string, string> TypesOf(SourceFile[] files) =>
        files.SelectMany(f => f.Types().Select(t => (Folder: FolderOf(f), t.Name)))
            .ToLookup(t => t.Folder, t => t.Name, StringComparer.Ordinal);

    private static IEnumerable<Use> Uses(SourceFile file, ILookup<string, string> types)
    {
        string folder = FolderOf(file), top = TopOf(file);
        foreach ((int number, string line) in file.CodeLines())
        {
            foreach (Match match in Mention().Matches(line))
            {
                string used = match.Groups["folder"].Value;
                Group type = match.Groups["type"], under = match.Groups["top"];
                if (under.Success && under.Value != top)
                    continue;
                if (used != folder && types.Contains(used) && (!type.Success || types[used].Contains(type.Value)))
                    yield return new Use(folder, used, file.At(number, line.Trim()));
            }
        }
    }

    private static IEnumerable<string> Cycles(SourceFile[] files)
    {
        ILookup<string, string> types = TypesOf(files);
        Use[] uses = [.. files.SelectMany(f => Uses(f, types))];
        ILookup<string, string> known = uses.ToLookup(u => u.By, u => u.Of, StringComparer.Ordinal);
        return uses.Where(u => Reached(u.Of, known).Contains(u.By)).Select(u => $"{u.By} knows {u.Of}, which knows {u.By}: {u.Where}");
    }

    /// <summary>All that a folder knows, directly or through others.</summary>
    private static HashSet<string> Reached(string folder, ILookup<string, string> known)
    {
        HashSet<string> reached = [];
        Stack<string> open = new([folder]);
        while (open.TryPop(out string? next))
        {
            foreach (string one in known[next].Where(reached.Add))
                open.Push(one);
        }
        return reached;
    }

    private static IEnumerable<string> WrongNamespaces(SourceFile file)
    {
        string expected = Path.GetDirectoryName(file.FilePath)!["src/".Length..].Replace('/', '.');
        if (file.Namespace is { Length: > 0 } name && name != expected)
            yield return file.At(1, $"namespace {name}, where its folder says {expected}");
    }

    private sealed record Use(string By, string Of, string Where);
}
