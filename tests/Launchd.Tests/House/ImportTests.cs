using System.Text.RegularExpressions;
using Xunit;

namespace Launchd.Tests.House;

/// <summary>
/// What the C library does for us is imported in one place of each project, <c>Interop</c>, and no function twice there: so its
/// signature, and whether it sets errno, is said once.
/// </summary>
public sealed partial class ImportTests
{
    public static TheoryData<string> Projects => ["src/Launchd", "src/Launchd.Client"];

    [Theory]
    [MemberData(nameof(Projects))]
    public void ImportsLieInInterop_EachOnce(string project)
    {
        SourceFile[] files = [.. SourceTree.Files(project)];

        Assert.NotEmpty(files.SelectMany(Imports));
        Verdict.None(Wrong(project, files));
    }

    private const string Close = "[LibraryImport(\"libc\")]\n    public static partial int close(int fd);\n";

    [Theory]
    [InlineData("src/A/Host/X.cs", Close)]
    [InlineData("src/A/Interop/X.cs", Close + "[LibraryImport(\"libc\")]\n    public static partial int close(int number);")]
    [InlineData("src/A/Host/X.cs", "[DllImport(\"libc\")]\n    public static extern int close(int fd);")]
    public void WhatIsWrongIsFound(string path, string text) => Assert.NotEmpty(Wrong("src/A", [new SourceFile(path, text)]));

    [Theory]
    [InlineData("[LibraryImport(\"libc\", EntryPoint = \"syscall\")]\n    public static partial nint other(nint number);")]
    [InlineData("[LibraryImport(\"libc\")]\n    public static partial nint send(int fd, void* at, nuint count);")]
    public void AnotherSignatureOfTheSameFunctionIsAnotherImport(string other) => Assert.Empty(Wrong("src/A", [
        new SourceFile("src/A/Interop/X.cs",
            "[LibraryImport(\"libc\")]\n    public static partial nint send(int fd, ref byte at, nuint count);\n" + other)]));

    private static IEnumerable<string> Wrong(string project, SourceFile[] files)
    {
        (SourceFile File, int Line, string Signature)[] imports = [.. files.SelectMany(Imports)];
        foreach ((SourceFile file, int line, _) in imports.Where(
            i => !i.File.FilePath.StartsWith(project + "/Interop/", StringComparison.Ordinal)))
        {
            yield return file.At(line, "imports belong into Interop");
        }
        foreach (IGrouping<string, (SourceFile File, int Line, string Signature)> same in imports.GroupBy(i => i.Signature)
            .Where(g => g.Count() > 1))
        {
            yield return same.Last().File.At(
                same.Last().Line, $"{same.Key} is imported already: {same.First().File.At(same.First().Line, "there")}");
        }
    }

    /// <summary>Each with its line and its types, as <c>close(int)</c>.</summary>
    private static IEnumerable<(SourceFile File, int Line, string Signature)> Imports(SourceFile file) =>
        Import().Matches(file.Code).Select(m => (file, file.Code[..m.Index].Count(c => c == '\n') + 1, SignatureOf(m)));

    private static string SignatureOf(Match import)
    {
        string[] parameters = import.Groups["parameters"].Value.Split(',', StringSplitOptions.TrimEntries);
        return $"{import.Groups["name"].Value}({string.Join(", ", parameters.Select(p => p[..Math.Max(0, p.LastIndexOf(' '))]))})";
    }

    [GeneratedRegex(@"\[(LibraryImport|DllImport)\b[^\n]*\n\s*[^\n(]*?(?<name>\w+)\((?<parameters>[^)]*)\)")]
    private static partial Regex Import();
}
