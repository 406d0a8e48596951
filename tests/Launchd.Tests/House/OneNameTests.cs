using Xunit;

namespace Launchd.Tests.House;

/// <summary>
/// One name means one thing in all that we ship: who reads or searches for a type's name finds one type, and no file needs an alias to say
/// which it means. Types that lie in another are exempt, because they are spoken of with its name before theirs.
/// </summary>
public sealed class OneNameTests
{
    [Fact]
    public void NoNameIsThatOfTwoTypes()
    {
        SourceFile[] files = [.. SourceTree.Files("src")];

        // A search that finds no types would find none twice either.
        Assert.True(files.SelectMany(f => f.Types()).Count() > 400);
        Verdict.None(Violations(files));
    }

    [Theory]
    [InlineData("A", "internal sealed class Twice;", "internal enum Twice;")]
    [InlineData("A", "public readonly record struct Twice(int X);", "internal interface Twice;")]
    [InlineData("A", "internal partial class Twice;", "internal partial class Twice;")]
    [InlineData("B", "internal sealed class Twice;", "internal sealed class Twice<T>;")]
    [InlineData("B", "internal delegate void Twice(int x);", "internal delegate List<int> Twice<T>(T x);")]
    public void ANameOfTwoIsFound(string second, string one, string other) => Assert.Equal(2, Violations(Two(second, one, other)).Count());

    [Theory]
    [InlineData("A", "internal sealed class Once;", "internal sealed class Other;")]
    [InlineData("A", "internal sealed class Once;", "internal sealed class Other\n{\n    private sealed class Once;\n}")]
    [InlineData("A", "internal sealed class Once;", "// class Once")]
    [InlineData("B", "internal partial class Once;", "internal sealed partial class Once;")]
    public void AnotherNameIsNotReported(string second, string one, string other) => Assert.Empty(Violations(Two(second, one, other)));

    private static SourceFile[] Two(string second, string one, string other) =>
    [
        new("src/Launchd/One.cs", $"namespace B;\n\n{one}\n"),
        new("src/Launchd/Other.cs", $"namespace {second};\n\n{other}\n"),
    ];

    private static IEnumerable<string> Violations(IReadOnlyList<SourceFile> files) =>
        files.SelectMany(f => f.Types().Select(t => (File: f, Type: t)))
            .GroupBy(d => d.Type.Name, StringComparer.Ordinal)
            .Where(g => g.Count() > 1 && !IsOne([.. g]))
            .SelectMany(g => g.Select(d => d.File.At(d.Type.Line, $"'{g.Key}' is the name of another type as well")));

    // The compiler allows several declarations in one project and namespace only where each says that it is a part.
    private static bool IsOne(IReadOnlyList<(SourceFile File, DeclaredType Type)> declared) =>
        declared.All(d => d.Type.IsPartial)
            && declared.Select(d => (d.File.FilePath.Split('/')[1], d.File.Namespace)).Distinct().Count() == 1;
}
