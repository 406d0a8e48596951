using System.Collections.Immutable;
using System.Text.Json;
using Launchd.Cli.Connecting;
using Launchd.Cli.Surroundings;
using Launchd.Cli.Views;
using Launchd.Config.Diagnostics;
using Launchd.Config.Loading;
using Launchd.Config.Showing;
using Launchd.Control;
using Launchd.Host.Startup;

namespace Launchd.Cli.Verbs;

/// <summary>The language in which <c>check --graph</c> writes.</summary>
internal enum GraphFormat { Dot, Mermaid }

/// <summary>What the operator asked of <c>check</c>.</summary>
/// <param name="File">The configuration; null: <c>launchd.toml</c> here.</param>
/// <param name="Graph">Null: no graph.</param>
/// <param name="Plan">Whether to show what a reload would change.</param>
/// <param name="Name">The running supervisor to compare with; null: it is looked for, as by every verb.</param>
/// <param name="Json">With <paramref name="Plan"/>: for programs.</param>
/// <param name="Elsewhere">Whether the file is for another machine, so that this machine is not asked.</param>
/// <param name="TrustsConfig">As of <see cref="RunOptions"/>.</param>
internal sealed record CheckOptions(string? File, GraphFormat? Graph, bool Plan, string? Name, bool Json = false, bool Elsewhere = false,
    bool TrustsConfig = false);

/// <summary><c>check</c>: all that is wrong with a configuration.</summary>
internal static class CheckCommand
{
    public static int Run(CliContext context, CheckOptions options)
    {
        if (options.Plan)
            return (int)Plan(context, options);
        if (options.Json)
            throw new CliException(ExitCode.Usage, "check takes --json with --plan only");
        ConfigResult result = ConfigReader.Read(RunCommand.ConfigurationOf(options.File, options.TrustsConfig));
        if (result.Definition is not null && options.Graph is null && !options.Elsewhere)
            result = OnThisMachine(result);
        bool withColour = !Console.IsErrorRedirected && Environment.GetEnvironmentVariable("NO_COLOR") is null or "";
        context.Error.Write(result.Print(withColour));
        if (result.Definition is not { } definition)
        {
            context.Error.WriteLine(ConfigSummary.Of(result.Diagnostics));
            return (int)ExitCode.BadConfiguration;
        }
        context.Output.WriteLine(options.Graph switch
        {
            GraphFormat.Dot => DependencyDrawing.ToDot(definition),
            GraphFormat.Mermaid => DependencyDrawing.ToMermaid(definition),
            _ => ConfigSummary.Of(definition),
        });
        return (int)ExitCode.Done;
    }

    private static ConfigResult OnThisMachine(ConfigResult read)
    {
        ImmutableArray<Diagnostic> all = DiagnosticBag.Sort(read.Diagnostics.Concat(MachineCheck.Run(read)));
        return read with { Definition = all.Any(d => d.IsError) ? null : read.Definition, Diagnostics = all };
    }

    /// <summary>Lets the supervisor read the file, because only the supervisor has its own environment and rights.</summary>
    private static ExitCode Plan(CliContext context, CheckOptions options)
    {
        if (options.Graph is not null)
            throw new CliException(ExitCode.Usage, "--graph and --plan are two things: ask for one at a time");
        if (options.Elsewhere)
        {
            throw new CliException(
                ExitCode.Usage, "--plan asks the supervisor that runs here, --elsewhere is for another machine: ask for one at a time");
        }
        string? file = options.File is { } path
            ? context.WorkingDirectory is { } directory ? Path.GetFullPath(path, directory) : CliContext.FullPath(path)
            : null;
        using ControlClient client = new SupervisorFinder(context).Connect(options.Name);
        ReloadReply reply = client.Call(
            "Plan", new PlanRequest(file), ControlClient.Json.PlanRequest, ControlClient.Json.ReloadReply, context.AnswerTimeout);
        if (options.Json)
            context.Output.WriteLine(JsonSerializer.Serialize(reply, ControlClient.Json.ReloadReply));
        else
            ChangeView.Write(context.Output, reply, isPlan: true);
        return ExitCode.Done;
    }
}
