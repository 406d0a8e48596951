using Launchd.Config;
using Launchd.Control;

namespace Launchd.Cli;

/// <summary>The language in which <c>check --graph</c> writes.</summary>
internal enum GraphFormat { Dot, Mermaid }

/// <summary>What the operator asked of <c>check</c>.</summary>
/// <param name="File">The configuration; null: <c>launchd.toml</c> here.</param>
/// <param name="Graph">Null: no graph.</param>
/// <param name="Plan">Whether to show what a reload would change.</param>
/// <param name="Name">The running supervisor to compare with; null: found as by every verb.</param>
internal sealed record CheckOptions(string? File, GraphFormat? Graph, bool Plan, string? Name);

/// <summary><c>check</c>: all that is wrong with a configuration.</summary>
internal static class CheckCommand
{
    public static int Run(CheckOptions options)
    {
        if (options.Plan)
        {
            Console.Error.WriteLine("launchd-cs: check --plan is not built yet");
            return (int)ExitCode.Failed;
        }
        ConfigResult result = ConfigReader.Read(RunCommand.ConfigurationOf(options.File));
        bool withColour = !Console.IsErrorRedirected && Environment.GetEnvironmentVariable("NO_COLOR") is null or "";
        Console.Error.Write(result.Print(withColour));
        if (result.Definition is not { } definition)
        {
            Console.Error.WriteLine(ConfigSummary.Of(result.Diagnostics));
            return (int)ExitCode.BadConfiguration;
        }
        Console.Out.WriteLine(options.Graph switch
        {
            GraphFormat.Dot => DependencyGraph.ToDot(definition),
            GraphFormat.Mermaid => DependencyGraph.ToMermaid(definition),
            _ => ConfigSummary.Of(definition),
        });
        return (int)ExitCode.Done;
    }
}
