using Launchd.Config.Diagnostics;
using Launchd.Config.Loading;
using Launchd.Tests.Cli;
using Launchd.Tests.Config;
using Launchd.Tests.House;
using Xunit;

namespace Launchd.Tests.Messages;

/// <summary>The list of failures, <c>Failures.txt</c>: each is said in full as it stands there, and can be read aloud.</summary>
public sealed class FailureTests
{
    public static TheoryData<int> Configurations => new(FailureRow.All.Where(r => r.IsConfiguration).Select(r => r.Line));

    public static TheoryData<int> CommandLines => new(FailureRow.All.Where(r => !r.IsConfiguration).Select(r => r.Line));

    [Theory]
    [MemberData(nameof(Configurations))]
    public void WhatIsWrongWithAConfigurationIsSaidInFull(int line)
    {
        FailureRow row = RowAt(line);

        ConfigResult result = Reading.Read(row.Toml, row.UserId, ("HOME", "/root"));

        Assert.Equal(row.Says, Reading.Headers(result));
        Diagnostic first = result.Diagnostics[0];
        Assert.Equal(row.Exit, result.Definition is null ? 78 : 0);
        Assert.Equal(row.Place, first.Span.ToString());
        if (row.Remedy is { } remedy)
            Assert.Contains(remedy, first.Hint ?? first.Message, StringComparison.Ordinal);
        else
            Assert.Null(first.Hint);
        Verdict.None(SpokenText.NotForPeople(result.Print()));
    }

    [Theory]
    [MemberData(nameof(CommandLines))]
    public void WhatIsWrongWithACommandLineIsSaidInFull(int line)
    {
        FailureRow row = RowAt(line);
        using CliHarness cli = new();
        if (row.Reply is { } reply)
            cli.Supervise((_, connection) => connection.SendText(reply + "\0"));

        CliResult result = cli.Run(row.Run.Split(' '));

        // What becomes of an order is output of the verb; all else that is wrong is an error.
        string said = result.Error.Length > 0 ? result.Error["launchd-cs: ".Length..] : result.Output;
        Assert.Equal((row.Exit, row.Says + "\n"), (result.Code, said));
        Assert.Contains(row.Place, said, StringComparison.Ordinal);
        Assert.Contains(row.Remedy ?? "", said, StringComparison.Ordinal);
        Verdict.None(SpokenText.NotForPeople(said));
    }

    [Fact]
    public void TheListIsLong_AndNearlyAllOfItSaysWhatToDo()
    {
        Assert.True(FailureRow.All.Count > 200);
        Assert.Distinct(FailureRow.All.Select(r => $"{r.Toml}{r.UserId}{r.Run}{r.Reply}"));
        Assert.True(FailureRow.All.Count(r => r.Remedy is null) <= FailureRow.All.Count / 6);
    }

    [Theory]
    [InlineData("cannot read: System.IO.IOException")]
    [InlineData("cannot read: FileNotFoundException")]
    [InlineData("Launchd.Config.Loading.ConfigReader failed")]
    [InlineData("cannot read: IO_FileNotFound_FileName, x")]
    [InlineData("Arg_InvalidOperationException")]
    [InlineData("internal error\n   at Main()\n")]
    [InlineData("ImmutableArray`1[System.String]")]
    public void WhatIsNotForPeopleIsFound(string text) => Assert.NotEmpty(SpokenText.NotForPeople(text));

    private static FailureRow RowAt(int line) => FailureRow.All.Single(r => r.Line == line);
}
