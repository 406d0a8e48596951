using System.Globalization;
using System.Text.RegularExpressions;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.AcceptanceTests;

/// <summary>
/// Does what <c>docs/guide.md</c> says, in its order: blocks with <c>file=</c> and <c>append=</c> are written, those of a console are typed
/// and their output is compared, in which numbers and durations may differ, runs of blanks are one, and <c>…</c> is anything.
/// </summary>
public sealed partial class GuideTests
{
    [NeedsToolFact("python3", "curl", "sed")]
    public async Task EveryStepDoesWhatTheGuideSays()
    {
        string guide = File.ReadAllText(Path.Combine(Repository.Root, "docs", "guide.md"));
        // Its ports may be taken on this machine.
        foreach (string port in (string[])["8080", "8013"])
            guide = guide.Replace(port, LoopbackPort.Free().ToString(CultureInfo.InvariantCulture), StringComparison.Ordinal);
        using Scratch scratch = new();
        Dictionary<string, string> environment = Environment(scratch);
        List<Command> background = [];
        try
        {
            foreach (Match block in Block().Matches(guide))
                await Follow(block.Groups["info"].Value, block.Groups["text"].Value, scratch, environment, background);
            Assert.NotEmpty(background);
            foreach (Command command in background)
                Assert.Equal(0, await command.Exit());
            Assert.Equal([], scratch.Processes());
        }
        finally
        {
            foreach (Command command in background)
            {
                _ = command.Signal(15);
                await command.EndWithin(TimeSpan.FromSeconds(20));
                await command.DisposeAsync();
            }
        }
    }

    [Theory]
    [InlineData("ready in 5.2 s", "ready in 5 s", true)]
    [InlineData("web      ready     0    1   4711      3s", "web ready 0 1 99 12ms", true)]
    [InlineData("ready in 5.2 s", "failed in 5 s", false)]
    [InlineData("one\n…\nfour", "one\ntwo\nthree\nfour", true)]
    [InlineData("one\n…\nfour", "one\nfour", true)]
    [InlineData("one\n…\nfour", "one\ntwo", false)]
    [InlineData("one", "one\ntwo", false)]
    [InlineData("", "one", false)]
    public void WhatDoesNotMatterMayDiffer_AndNothingElse(string expected, string seen, bool matches) =>
        Assert.Equal(matches, Matches(expected, seen));

    private static async Task Follow(
        string info, string text, Scratch scratch, Dictionary<string, string> environment, List<Command> background)
    {
        string[] words = info.Split(' ');
        string? path = words.Select(w => w.Split('=')).FirstOrDefault(w => w[0] is "file" or "append")?[1];
        switch (words)
        {
            case ["console", "background"]:
                (string command, string expected) = Commands(text).Single();
                Command started = Command.Start(["/bin/sh", "-c", $"exec {command} 2>&1"], scratch.FolderPath, environment);
                background.Add(started);
                string last = expected[(expected.LastIndexOf('\n') + 1)..];
                _ = await started.Output.First(line => Matches(last, line), $"'{last}' of '{command}'");
                string printed = started.Output.ToString();
                Assert.True(Matches(expected, printed) || Matches(expected + "\n…", printed), $"{command}:\n{printed}");
                break;
            case ["console"]:
                foreach ((string typed, string answer) in Commands(text))
                    await Type(typed, answer, scratch, environment);
                break;
            case [_, var target] when path is not null && target.StartsWith("file=", StringComparison.Ordinal):
                _ = scratch.Write(path, path.EndsWith(".toml", StringComparison.Ordinal) ? Supervisor.WithRuntimeDirectory(text) : text);
                break;
            case [_, var target] when path is not null && target.StartsWith("append=", StringComparison.Ordinal):
                File.AppendAllText(scratch.At(path), text);
                break;
            default:
                Assert.Fail($"a block of the guide that nobody tries: {info}");
                break;
        }
    }

    private static async Task Type(string command, string expected, Scratch scratch, Dictionary<string, string> environment)
    {
        await using Command run = Command.Start(["/bin/sh", "-c", $"{{ {command}\n}} 2>&1"], scratch.FolderPath, environment);
        int code = await run.Exit();
        string seen = run.Output.ToString() + (code == 0 ? "" : $"\n(exit {code})");
        Assert.True(Matches(expected, seen.Trim('\n')), $"$ {command}\n{seen}\n\nthe guide says:\n{expected}");
    }

    private static IEnumerable<(string Command, string Expected)> Commands(string block) =>
        block.Split("$ ", StringSplitOptions.RemoveEmptyEntries).Select(b => b.Split('\n', 2)).Select(b => (b[0], b[1].Trim('\n')));

    private static bool Matches(string expected, string seen)
    {
        // A line that is only "…" stands for any lines, also none.
        string pattern = Regex.Escape(Blanks().Replace(expected, " "))
            .Replace("\\ ", " ", StringComparison.Ordinal)
            .Replace("\\n", "\n", StringComparison.Ordinal);
        pattern = Quantity().Replace(pattern, @"\d+(\.\d+)? ?(ms|us|s|m|h)?");
        pattern = AnyLines().Replace(pattern, "(?<lines>(.*\n)*?.*\n?)").Replace("…", ".*", StringComparison.Ordinal);
        return Regex.IsMatch(Blanks().Replace(seen, " "), $@"\A{pattern}\z", RegexOptions.ExplicitCapture);
    }

    private static Dictionary<string, string> Environment(Scratch scratch)
    {
        string folder = Directory.CreateDirectory(scratch.At("bin")).FullName;
        string program = Path.Combine(folder, "launchd-cs");
        File.WriteAllText(program, $"#!/bin/sh\nexec {string.Join(' ', Repository.LaunchdCommand.Select(w => $"'{w}'"))} \"$@\"\n");
        File.SetUnixFileMode(program, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return new()
        {
            ["PATH"] = $"{folder}:{System.Environment.GetEnvironmentVariable("PATH")}",
            ["LAUNCHD_RUNTIME_DIRECTORY"] = scratch.At("run"),
        };
    }

    [GeneratedRegex(@"^```(?<info>[^\n]+)\n(?<text>.*?)^```$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Block();

    [GeneratedRegex("[ \t]+")]
    private static partial Regex Blanks();

    [GeneratedRegex(@"\d+(\\\.\d+)?( ?(ms|us|s|m|h)\b)?", RegexOptions.ExplicitCapture)]
    private static partial Regex Quantity();

    [GeneratedRegex("(?<=^|\n)…\n?")]
    private static partial Regex AnyLines();
}
