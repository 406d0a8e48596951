using Launchd.Config.Loading;
using Xunit;

namespace Launchd.Tests.Config;

public sealed class DiagnosticPrinterTests
{
    [Fact]
    public void AnErrorShowsItsPlaceItsLineAndACaretUnderTheValue()
    {
        string text =
            "name = \"shop\"\n\n[services.web]\ncommand = [\"web\"]\nsockets = [\"http\"]\n"
            + "[sockets.http]\nlisten = \"tcp://127.0.0.1:99999\"\n";

        Assert.Equal(
            """
            web.toml:7:10: error LD1203: sockets.http.listen: port 99999 is out of range 1-65535
              7 | listen = "tcp://127.0.0.1:99999"
                |          ^^^^^^^^^^^^^^^^^^^^^^^

            """,
            Reading.Read(text).Print());
    }

    [Fact]
    public void AHintFollowsTheCaretLine()
    {
        Assert.Equal(
            """
            web.toml:3:1: error LD1101: services.web.instnaces: there is no such key
              3 | instnaces = 2
                | ^^^^^^^^^
            hint: did you mean 'instances'?

            """,
            Reading.Read("[services.web]\ncommand = [\"web\"]\ninstnaces = 2\n").Print());
    }

    [Fact]
    public void AllErrorsOfAllFilesAreToldAtOnceInOrderOfPlace()
    {
        MemoryFiles files = new MemoryFiles()
            .Add(Reading.FilePath,
                "include = [\"conf.d/*.toml\"]\n[services.web]\nrestart = \"sometimes\"\ncommand = [\"web\"]\nwatchdog = 5\n")
            .Add("/etc/shop/conf.d/a.toml", "[services.worker]\ncommand = \"worker\"\n");

        string[] headers = [.. ConfigReader.Read(Reading.Source(files)).Print().Split('\n').Where(l => l.Contains("error LD"))];

        Assert.Equal(3, headers.Length);
        Assert.StartsWith(
            "conf.d/a.toml:2:11: error LD1201: services.worker.command: must be a list of strings", headers[0], StringComparison.Ordinal);
        Assert.StartsWith(
            "web.toml:3:11: error LD1204: services.web.restart: 'sometimes' is not one of", headers[1], StringComparison.Ordinal);
        Assert.StartsWith(
            "web.toml:5:12: error LD1201: services.web.watchdog: must be a string, not an integer", headers[2], StringComparison.Ordinal);
    }

    [Fact]
    public void ATabAndAWideCharacterBeforeTheCaretKeepItUnderTheValue()
    {
        string printed = Reading.Read("[services.web]\ncommand = [\"日本\",\t5]\n").Print();

        Assert.Equal(
            """
            web.toml:2:18: error LD1201: services.web.command: must be a string, not an integer
              2 | command = ["日本",    5]
                |                       ^
            hint: write it in quotes

            """,
            printed);
    }

    [Fact]
    public void ControlAndDirectionCharactersOfTheSourceAreSpelledOut()
    {
        string printed = Reading.Read("[services.web]\ncommand = [\"web\"]\nnope = \"\u202E\u0085\"\n").Print();

        Assert.Contains("nope = \"\\u{202E}\\u{85}\"", printed, StringComparison.Ordinal);
        Assert.DoesNotContain(printed, c => char.IsControl(c) && c != '\n');
    }

    [Fact]
    public void ALongLineIsCutAroundTheCaret()
    {
        string many = string.Join(", ", Enumerable.Range(0, 200).Select(i => $"\"a{i}\""));
        string[] lines = Reading.Read($"[services.web]\ncommand = [{many}, 7, {many}]\n").Print().Split('\n');

        Assert.InRange(lines[1].Length, 60, 140);
        Assert.Equal('7', lines[1][lines[2].IndexOf('^', StringComparison.Ordinal)]);
        Assert.Contains("…", lines[1], StringComparison.Ordinal);
    }

    [Fact]
    public void ColourIsOnlyAddedWhenAsked()
    {
        ConfigResult result = Reading.Read("[services.web]\n");

        Assert.DoesNotContain('\e', result.Print());
        Assert.Contains("\e[31merror LD1106:\e[0m", result.Print(withColour: true), StringComparison.Ordinal);
    }
}
