using System.Text.RegularExpressions;
using Xunit;

namespace Launchd.Tests.House;

/// <summary>
/// The text of an exception of the framework is no sentence for people: in the native binary it is the name of a resource. Our own
/// exceptions, whose texts are sentences, may be shown; of all others <c>Defect</c> and <c>FileFault</c> say what they are.
/// </summary>
public sealed partial class ExceptionTextTests
{
    /// <summary>Where exceptions are put into words, and nowhere else.</summary>
    private static readonly string[] Exempt = ["src/Launchd/Host/Reporting/Defect.cs", "src/Launchd/Linux/Paths/FileFault.cs"];

    private static readonly string[] Own =
        ["CliException", "StartRefusedException", "SystemCallException", "BrokenPipeException", "OutputFailedException",
            "RefusedRecordException"];

    [Fact]
    public void NoTextOfAnExceptionReachesPeople()
    {
        SourceFile[] files = [.. SourceTree.Files("src/Launchd").Where(f => !Exempt.Contains(f.FilePath))];

        Assert.NotEmpty(files);
        Verdict.None(files.SelectMany(Violations));
    }

    [Theory]
    [InlineData("try { } catch (IOException e) { Say(e.Message); }")]
    [InlineData("try { } catch (Exception e) when (e is IOException) { Say($\"cannot: {e}\"); }")]
    [InlineData("try { } catch (Exception e) { Say($\"cannot: {e.Message.TrimEnd('.')}\"); }")]
    [InlineData("try { } catch (Exception e) { Say(\"cannot: \" + e); }")]
    [InlineData("try { } catch (SocketException e) { Say(e.ToString()); }")]
    [InlineData("void F(Exception defect) { Say(defect.Message); }")]
    [InlineData("void F(Exception? defect) => Say(defect?.StackTrace);")]
    [InlineData("void F(Entry entry) { Say(entry.Exception.ToString()); }")]
    [InlineData("void F(Entry entry) { Say($\"{entry.Exception}\"); }")]
    [InlineData("string F(Exception e) => e switch { IOException io => io.Message, _ => \"\" };")]
    public void ATextOfTheFrameworkIsFound(string text) => Assert.NotEmpty(Violations(new SourceFile("src/Launchd/Host/A.cs", text)));

    [Theory]
    [InlineData("try { } catch (CliException e) { Say(e.Message); }")]
    [InlineData("try { } catch (StartRefusedException e) { Say($\"{e.Message}\"); }")]
    [InlineData("try { } catch (IOException e) { Say(Defect.Describe(e)); }")]
    [InlineData("try { } catch (IOException e) { Say($\"cannot: {FileFault.Text(e)}\"); }")]
    [InlineData("try { } catch (IOException) { } void F(Diagnostic e) { Say(e.Message); }")]
    [InlineData("/// <exception cref=\"IOException\">It failed.</exception> e.Message")]
    [InlineData("string F(Exception e) => e switch { SystemCallException own => own.Message, _ => \"\" };")]
    public void OurOwnTextsAreAllowed(string text) => Assert.Empty(Violations(new SourceFile("src/Launchd/Host/A.cs", text)));

    /// <summary>An exception gets a name: caught, as a parameter, or in a pattern.</summary>
    [GeneratedRegex(@"\b(?<type>\w*Exception)\b\??(\s*\{[^{}]*\})?\s+(?<name>[a-z_]\w*)\s*(?=\)|,|=>|\bwhen\b|&&|\|\||\?|;|=[^>])")]
    private static partial Regex Declaration();

    [GeneratedRegex(@"\bException\s*\??\.\s*(Message|ToString|StackTrace)\b|\{\s*\w+\.Exception\s*[}:]|\+\s*\w+\.Exception\s*[;,)]")]
    private static partial Regex Property();

    private static IEnumerable<string> Violations(SourceFile file)
    {
        string code = file.Code;
        HashSet<int> found = [.. Property().Matches(file.Text).Select(m => m.Index)];
        foreach (Match declared in Declaration().Matches(code))
        {
            if (Own.Contains(declared.Groups["type"].Value))
                continue;
            int start = declared.Index + declared.Length, end = EndOfScope(code, start);
            foreach (Match use in Use(declared.Groups["name"].Value).Matches(file.Text[start..end]))
                _ = found.Add(start + use.Index);
        }
        foreach (int at in found.Order())
            yield return file.At(file.Text.AsSpan(0, at).Count('\n') + 1, "say what it is by Defect.Describe or FileFault.Text");
    }

    private static Regex Use(string name) =>
        new($@"\b{name}\s*[?!]?\.\s*(Message|ToString|StackTrace)\b|\{{\s*{name}\s*[}}:]|""\s*\+\s*{name}\b(?!\s*[.(])|\b{name}\s*\+\s*""");

    /// <summary>Where the block ends that follows, or the expression if that comes first.</summary>
    private static int EndOfScope(string code, int start)
    {
        int depth = 0;
        bool isInBlock = false;
        for (int i = start; i < code.Length; i++)
        {
            if (code[i] is '{' or '}')
                depth += code[i] == '{' ? 1 : -1;
            isInBlock |= depth > 0;
            if ((isInBlock && depth <= 0) || depth < 0 || (!isInBlock && code[i] is ';' or ',' && depth == 0 && IsArm(code, start, i)))
                return i;
        }
        return code.Length;
    }

    // Before any block a semicolon ends an expression body, and a comma an arm of a switch; within a list of parameters it does neither.
    private static bool IsArm(string code, int start, int at) =>
        code[at] == ';' || code.AsSpan(start, at - start).TrimStart().StartsWith("=>");
}
