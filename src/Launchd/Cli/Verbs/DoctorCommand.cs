using System.Text.Json;
using System.Text.Json.Serialization;
using Launchd.Cli.Surroundings;
using Launchd.Control;

namespace Launchd.Cli.Verbs;

/// <summary><c>doctor</c>: what this kernel and container allow, each with its consequence.</summary>
internal static class DoctorCommand
{
    private const string Indent = "         ";

    public static ExitCode Run(CliContext context, bool json)
    {
        if (context.Findings is not { } provider)
            throw new CliException(ExitCode.InternalError, "doctor is not linked in yet");
        IReadOnlyList<Finding> findings = provider();
        if (json)
            context.Output.WriteLine(JsonSerializer.Serialize([.. findings], CliJson.Default.FindingArray));
        else
            Write(context.Output, findings);
        return findings.Any(f => f.Level == FindingLevel.Missing) ? ExitCode.Failed : ExitCode.Done;
    }

    private static void Write(Terminal output, IReadOnlyList<Finding> findings)
    {
        int names = findings.Count == 0 ? 0 : findings.Max(f => TerminalText.Columns(f.Name));
        foreach (Finding finding in findings)
        {
            (string word, Style style) = finding.Level switch
            {
                FindingLevel.Good => ("good   ", Style.Good),
                FindingLevel.Limited => ("limited", Style.Warning),
                _ => ("missing", Style.Bad),
            };
            string name = TerminalText.Escape(finding.Name).PadRight(names);
            output.WriteLine($"{output.Paint(word, style)}  {output.Paint(name, Style.Strong)}  {TerminalText.Escape(finding.Text)}");
            if (finding.Consequence.Length > 0)
                output.WriteLine(Indent + new string(' ', names + 2) + TerminalText.Escape(finding.Consequence));
        }
    }
}

/// <summary>What the command itself prints as JSON.</summary>
[JsonSourceGenerationOptions(PropertyNamingPolicy = JsonKnownNamingPolicy.SnakeCaseLower, UseStringEnumConverter = true)]
[JsonSerializable(typeof(Finding[]))]
internal sealed partial class CliJson : JsonSerializerContext;
