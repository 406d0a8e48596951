using System.CommandLine;
using Launchd.Cli.Surroundings;
using Launchd.Cli.Verbs;

namespace Launchd.Cli.Parsing;

/// <summary>Writes the help of a verb: what it does, how it is called, examples, and what its exit codes mean.</summary>
internal static class HelpPage
{
    private const int MostColumns = 100;

    /// <summary>A longer name or example has its explanation on the next line.</summary>
    private const int MostLeftColumns = 42;

    public static void Write(Terminal terminal, Command command)
    {
        TextWriter writer = terminal.Writer;
        int width = Math.Min(terminal.Width, MostColumns);
        bool isRoot = command is RootCommand;
        string description = command.Description!;
        writer.WriteLine(isRoot ? description : char.ToUpperInvariant(description[0]) + description[1..] + ".");
        Heading(terminal, "Usage");
        writer.WriteLine("  " + Usage(command));
        if (isRoot)
            Section(terminal, "Verbs", command.Subcommands.Where(c => !c.Hidden).Select(c => (c.Name, c.Description!)), width);
        Section(terminal, "Arguments", command.Arguments.Where(a => !a.Hidden).Select(a => (a.HelpName ?? a.Name, a.Description!)), width);
        IEnumerable<Option> inherited = isRoot ? [] : command.Parents.OfType<Command>().SelectMany(c => c.Options).Where(o => o.Recursive);
        IEnumerable<Option> options = command.Options.Concat(inherited).Where(o => !o.Hidden && Takes(command, o));
        Section(terminal, "Options", options.Select(o => (Label(o), o.Description!)), width);

        VerbHelp help = VerbHelp.Of(command.Name, isRoot);
        Section(terminal, "Examples", help.Examples, width);
        Section(terminal, "Exit codes", help.ExitCodes.Select(e => ($"{(int)e.Code}", e.Meaning)), width);
    }

    /// <summary>Writes the short help for a command without a verb.</summary>
    public static void WriteShort(TextWriter writer, RootCommand root)
    {
        writer.WriteLine("Usage: " + Usage(root));
        writer.WriteLine("Verbs: " + string.Join(", ", root.Subcommands.Where(c => !c.Hidden).Select(c => c.Name)));
        writer.WriteLine("See 'launchd-cs --help'.");
    }

    private static string Usage(Command command)
    {
        if (command is RootCommand)
            return "launchd-cs VERB [options]";
        if (command.Name == ActivateCommand.Name)
            return ActivateCommand.Usage;
        if (command.Name == FetchCommand.Name)
            return FetchCommand.Usage;
        string arguments = string.Concat(command.Arguments.Select(a =>
        {
            string name = a.HelpName ?? a.Name;
            bool isNeeded = a.Name is "SIGNAL" or "SHELL";
            string one = isNeeded ? name : $"[{name}]";
            return " " + (a.Arity.MaximumNumberOfValues > 1 ? $"[{name}…]" : one);
        }));
        return $"launchd-cs {command.Name}{arguments} [options]";
    }

    private static bool Takes(Command command, Option option) =>
        option.Name != "--name" || command.Name is not ("run" or "doctor" or "completion" or ActivateCommand.Name);

    private static string Label(Option option)
    {
        string names = string.Join(", ", option.Aliases.Append(option.Name).Distinct().OrderBy(n => n.Length));
        if (option.HelpName is not { } value)
            return names;
        return option.Name == "--graph" ? $"{names}[={value}]" : $"{names} {value}";
    }

    private static void Heading(Terminal terminal, string text) => terminal.Writer.Write($"\n{terminal.Paint(text + ":", Style.Strong)}\n");

    private static void Section(Terminal terminal, string heading, IEnumerable<(string Left, string Right)> rows, int width)
    {
        List<(string Left, string Right)> all = [.. rows];
        if (all.Count == 0)
            return;
        Heading(terminal, heading);
        int left = all.Select(r => r.Left.Length).Where(l => l <= MostLeftColumns).DefaultIfEmpty(0).Max();
        foreach ((string name, string text) in all)
        {
            string[] lines = Wrap(text, Math.Max(20, width - left - 4));
            bool isLong = name.Length > left;
            terminal.WriteLine(isLong ? $"  {name}" : $"  {name.PadRight(left)}  {lines[0]}");
            foreach (string line in isLong ? lines : lines[1..])
                terminal.WriteLine(new string(' ', left + 4) + line);
        }
    }

    private static string[] Wrap(string text, int width)
    {
        List<string> lines = [""];
        foreach (string word in text.Split(' '))
        {
            if (lines[^1].Length > 0 && lines[^1].Length + 1 + word.Length > width)
                lines.Add("");
            lines[^1] += (lines[^1].Length > 0 ? " " : "") + word;
        }
        return [.. lines];
    }
}
