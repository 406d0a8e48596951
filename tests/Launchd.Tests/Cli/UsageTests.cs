using System.CommandLine;
using Launchd.Cli.Parsing;
using Launchd.Cli.Surroundings;
using Launchd.Cli.Verbs;
using Launchd.Control;
using Xunit;

namespace Launchd.Tests.Cli;

public sealed class UsageTests
{
    [Theory]
    [InlineData("unknown verb 'sttus', did you mean 'status'? See 'launchd-cs --help'", "sttus")]
    [InlineData("unknown verb 'frobnicate'; see 'launchd-cs --help'", "frobnicate")]
    [InlineData("unknown option '--folow', did you mean '--follow'? See 'launchd-cs logs --help'", "logs", "--folow")]
    [InlineData("unknown option '--jsno', did you mean '--json'? See 'launchd-cs shutdown --help'", "shutdown", "--jsno")]
    [InlineData("'shutdown' does not take 'now'; see 'launchd-cs shutdown --help'", "shutdown", "now")]
    [InlineData("a verb is missing; see 'launchd-cs --help'", "--name", "shop")]
    [InlineData("start needs either names of services or --all; see 'launchd-cs start --help'", "start")]
    [InlineData("start needs either names of services or --all; see 'launchd-cs start --help'", "start", "web", "--all")]
    [InlineData("--replace and --overlap contradict each other: give one", "restart", "web", "--replace", "--overlap")]
    [InlineData("'HUB' is no signal, did you mean 'HUP'?", "signal", "HUB", "web")]
    [InlineData("signal needs a signal and the name of a service; see 'launchd-cs signal --help'", "signal")]
    [InlineData("--lines takes a number from 0 to 10000, not 'x'", "logs", "-n", "x")]
    [InlineData("--lines takes a number from 0 to 10000, not '10001'", "logs", "--lines", "10001")]
    [InlineData("--graph takes dot or mermaid, not 'png'", "check", "--graph=png")]
    [InlineData("run takes no --name: the file names the supervisor; see 'launchd-cs run --help'", "run", "--name", "shop")]
    [InlineData("there is no completion for 'tcsh', only for bash, zsh and fish", "completion", "tcsh")]
    [InlineData(@"unknown verb '\x1b[31m'; see 'launchd-cs --help'", "\e[31m")]
    public void WrongArguments_ExitWithUsage_AndSayWhatWasMeant(string sentence, params string[] arguments)
    {
        using CliHarness cli = new();

        Assert.Equal(new CliResult(64, "", $"launchd-cs: {sentence}\n"), cli.Run(arguments));
    }

    [Theory]
    [InlineData("run")]
    [InlineData("run", "shop.toml")]
    [InlineData("run", "shop.toml", "--exit-with", "web")]
    [InlineData("run", "--exit-with", "web", "shop.toml")]
    public void APlainRunGoesPastTheParser_WhereverItIsSaidThatFilesAreTrusted(params string[] arguments)
    {
        RunOptions plain = RunOptions.TryReadPlain(arguments)!;

        Assert.False(plain.TrustsConfig);
        for (int at = 1; at <= arguments.Length; at++)
        {
            RunOptions? trusting = RunOptions.TryReadPlain([.. arguments[..at], "--trust-config", .. arguments[at..]]);
            bool isOfExitWith = arguments[at - 1] == "--exit-with";
            Assert.Equal(isOfExitWith ? null : plain with { TrustsConfig = true }, trusting);
        }
    }

    [Theory]
    [InlineData("run", "--trust-config", "true", "shop.toml")]
    [InlineData("run", "--trust-config", "--trust-config")]
    [InlineData("run", "--trust-config=true")]
    [InlineData("check", "--trust-config")]
    [InlineData("--trust-config", "run")]
    public void WhatIsNotPlainIsLeftToTheParser(params string[] arguments) => Assert.Null(RunOptions.TryReadPlain(arguments));

    [Fact]
    public void NoVerb_ShowsTheVerbsOnStandardError()
    {
        using CliHarness cli = new();

        CliResult result = cli.Run();

        Assert.Equal((64, ""), (result.Code, result.Output));
        Assert.Contains("Verbs: run, check, status, start,", result.Error);
    }

    [Fact]
    public void HelpHasUsageOptionsExamplesAndExitCodes()
    {
        using CliHarness cli = new() { Columns = 80 };

        CliResult result = cli.Run("logs", "--help");

        Assert.Equal("""
            Prints what services wrote.

            Usage:
              launchd-cs logs [SERVICE] [options]

            Arguments:
              SERVICE  a name or pattern such as 'web*' (default: all)

            Options:
              -f, --follow   goes on with what comes, until Ctrl-C
              -n, --lines N  newest lines of each service (default: 10)
              --json         prints JSON for programs
              -h, --help     what the verb does, with examples and exit codes
              --name NAME    the supervisor, where several run

            Examples:
              launchd-cs logs                      the last 10 lines of each service
              launchd-cs logs web -n 100 --follow  the last 100 of web, and what comes

            Exit codes:
              0   printed, or interrupted while following
              4   no service has that name
              64  the arguments are wrong
              69  no supervisor can be reached
              77  the supervisor does not let this user

            """, result.Output);
        Assert.Equal(0, result.Code);
    }

    [Fact]
    public void EveryVerbHasHelpThatFitsTheTerminal_AndAPageInTheDocument()
    {
        using CliHarness cli = new() { Columns = 80 };
        string document = File.ReadAllText(Path.Combine(RepositoryRoot(), "docs", "cli.md"));
        CommandTree tree = new(CliContext.OfProcess());

        foreach (Command verb in tree.Root.Subcommands.Where(c => !c.Hidden))
        {
            CliResult help = cli.Run(verb.Name, "--help");
            Assert.Equal((0, ""), (help.Code, help.Error));
            Assert.Contains("\nExamples:\n", help.Output);
            Assert.Contains("\nExit codes:\n", help.Output);
            Assert.All(help.Output.Split('\n'), line => Assert.True(line.Length <= 80, line));
            Assert.Contains($"`launchd-cs {verb.Name}", document);
            Assert.All(verb.Options.Where(o => o.Name != "--help"), o => Assert.Contains(o.Name, document));
        }
    }

    [Fact]
    public void VersionIsPrinted()
    {
        using CliHarness cli = new();

        Assert.Matches("^launchd-cs [0-9]+[.][0-9]+[.][0-9]+\n$", cli.Run("--version").Output);
    }

    [Theory]
    [InlineData("launchd-cs sta", "start status")]
    [InlineData("/usr/bin/launchd-cs sig", "signal")]
    [InlineData("launchd-cs sc", "scale")]
    [InlineData("launchd-cs logs --f", "--follow")]
    [InlineData("launchd-cs restart we", "web")]
    [InlineData("launchd-cs restart db ", "cache report web")]
    [InlineData("launchd-cs signal US", "USR1 USR2")]
    [InlineData("launchd-cs signal HUP re", "report")]
    [InlineData("launchd-cs status --name s", "shop")]
    [InlineData("launchd-cs completion ", "bash fish zsh")]
    [InlineData("launchd-cs run ", "")]
    public void CompletionOffersWhatFits(string line, string expected)
    {
        using CliHarness cli = new();
        cli.Supervise(Samples.Status, ControlJson.Default.StatusReply);

        CliResult result = cli.Run($"[suggest:{line.Length}]", line);

        Assert.Equal(expected, string.Join(' ', result.Output.Split('\n', StringSplitOptions.RemoveEmptyEntries).Order()));
        Assert.Equal((0, ""), (result.Code, result.Error));
    }

    [Fact]
    public void CompletionWithoutASupervisor_OffersNothing_AndDoesNotComplain()
    {
        using CliHarness cli = new();

        Assert.Equal(new CliResult(0, "", ""), cli.Run("[suggest:18]", "launchd-cs restart "));
    }

    [Theory]
    [InlineData("bash", "complete -F _launchd_cs launchd-cs")]
    [InlineData("zsh", "compdef _launchd_cs launchd-cs")]
    [InlineData("fish", "complete -c launchd-cs")]
    public void EachShellHasItsScript(string shell, string expected)
    {
        using CliHarness cli = new();

        Assert.Contains(expected, cli.Run("completion", shell).Output);
    }

    private static string RepositoryRoot()
    {
        string? directory = AppContext.BaseDirectory;
        while (directory is not null && !File.Exists(Path.Combine(directory, "Launchd.sln")))
            directory = Path.GetDirectoryName(directory);
        return directory ?? throw new InvalidOperationException("the tests run outside the repository");
    }
}
