using Xunit;

namespace Launchd.Tests.House;

public sealed class CSharpTextTests
{
    [Theory]
    [InlineData("a(); // async", "a();         ")]
    [InlineData("a /* x\ny */ b", "a     \n     b")]
    [InlineData("f(\"async \\\" x\") y", "f(            ) y")]
    [InlineData("f(@\"c:\\\") y", "f(      ) y")]
    [InlineData("f($\"{x} // no\") y", "f(            ) y")]
    [InlineData("f(\"\") y", "f(  ) y")]
    [InlineData("c == '\"' ? x : y", "c ==     ? x : y")]
    [InlineData("\"\"\"a \" b\"\"\" y", "            y")]
    [InlineData("@class y", "@class y")]
    public void CommentsAndLiteralsAreBlanked_AndCodeIsKept(string text, string expected) => Assert.Equal(expected, CSharpText.Blank(text));

    [Fact]
    public void LinesStayWhereTheyAre()
    {
        foreach (SourceFile file in SourceTree.Files("src"))
            Assert.Equal(file.Text.Count(c => c == '\n'), file.Code.Count(c => c == '\n'));
    }
}
