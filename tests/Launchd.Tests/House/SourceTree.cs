using System.Text.RegularExpressions;

namespace Launchd.Tests.House;

/// <summary>The repository as files on disk, for tests that read sources.</summary>
internal static class SourceTree
{
    private static readonly string[] Made = ["bin", "obj", "artifacts"];

    /// <summary>The folder that holds <c>Launchd.sln</c>, searched upwards from the test assembly.</summary>
    public static string Root { get; } = FindRoot();

    /// <summary>Every file below a folder of the repository whose name matches, without what builds make.</summary>
    public static IEnumerable<SourceFile> Files(string folder, string pattern = "*.cs")
    {
        string top = Path.Combine(Root, folder);
        if (!Directory.Exists(top))
            return [];
        return Directory.EnumerateFiles(top, pattern, SearchOption.AllDirectories)
            .Select(p => Path.GetRelativePath(Root, p))
            .Where(p => !p.Split('/').Intersect(Made).Any())
            .Order(StringComparer.Ordinal)
            .Select(p => new SourceFile(p, File.ReadAllText(Path.Combine(Root, p))));
    }

    private static string FindRoot()
    {
        for (DirectoryInfo? folder = new(AppContext.BaseDirectory); folder is not null; folder = folder.Parent)
        {
            if (File.Exists(Path.Combine(folder.FullName, "Launchd.sln")))
                return folder.FullName;
        }
        throw new InvalidOperationException($"no Launchd.sln above {AppContext.BaseDirectory}");
    }
}

/// <summary>One file: its path relative to the repository, with slashes, and its text.</summary>
internal sealed partial record SourceFile(string FilePath, string Text)
{
    /// <summary>The text with comments, and the inside of strings and characters, blanked; lines stay where they are.</summary>
    public string Code => CSharpText.Blank(Text);

    /// <summary>Violations are reported as <c>path:line: what</c>.</summary>
    public string At(int line, string what) => $"{FilePath}:{line}: {what}";

    /// <summary>Lines with their numbers from 1.</summary>
    public IEnumerable<(int Number, string Text)> Lines() => NumberedLines(Text);

    public IEnumerable<(int Number, string Text)> CodeLines() => NumberedLines(Code);

    /// <summary>The namespace of the whole file; empty if it has none.</summary>
    public string Namespace => NamespaceLine().Match(Code).Groups["name"].Value;

    /// <summary>The types that lie in no other type.</summary>
    public IEnumerable<DeclaredType> Types() => Declaration().Matches(Code).Select(m =>
    {
        bool isPartial = m.Groups["before"].Value.Contains("partial", StringComparison.Ordinal);
        return new DeclaredType(m.Groups["name"].Value, isPartial, Text.AsSpan(0, m.Index).Count('\n') + 1);
    });

    [GeneratedRegex(@"^namespace (?<name>[\w.]+);", RegexOptions.Multiline)]
    private static partial Regex NamespaceLine();

    [GeneratedRegex(@"^(?<before>[a-z][\w ]*)\b(class|struct|interface|enum|record|delegate [\w<>?,\[\]. ]+) (?<name>\w+)",
        RegexOptions.Multiline)]
    private static partial Regex Declaration();

    private static IEnumerable<(int Number, string Text)> NumberedLines(string text) => text.Split('\n').Select((line, i) => (i + 1, line));
}

/// <summary>A type as one file declares it.</summary>
internal sealed record DeclaredType(string Name, bool IsPartial, int Line);
