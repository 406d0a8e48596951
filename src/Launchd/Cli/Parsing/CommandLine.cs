using System.CommandLine;
using System.CommandLine.Help;
using System.Reflection;
using Launchd.Cli.Surroundings;
using Launchd.Cli.Verbs;
using Launchd.Control;
using Launchd.Host.Startup;
using Launchd.Keeper;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Linux.Spawning;

namespace Launchd.Cli.Parsing;

/// <summary>The command: reads the arguments, runs the verb, turns a failure into one sentence and an exit code.</summary>
internal static class CommandLine
{
    private const string Program = "launchd-cs";

    public static int Run(string[] decoded)
    {
        string[] arguments = OwnStart.Arguments(decoded);
        if (arguments is [PlanHelper.Word, var plan])
            return PlanHelper.Run(plan);
        if (arguments is [SupervisorStart.Trial])
            return Prover.Run();
        // A plain 'run' goes past the parser, which with the help of all verbs would stay in the supervisor's memory as long as it lives.
        if (RunOptions.TryReadPlain(arguments) is { } options)
            return RunCommand.Run(options);
        return Run(arguments, CliContext.OfProcess(Doctor.Collect));
    }

    /// <summary>Runs a verb in given surroundings. Nothing but bugs in <c>run</c> itself is thrown.</summary>
    public static int Run(string[] arguments, CliContext context)
    {
        try
        {
            int code = RunVerb(arguments, context);
            context.Output.Writer.Flush();
            return code;
        }
        catch (BrokenPipeException)
        {
            return (int)ExitCode.Done;
        }
        catch (CliException e)
        {
            return Fail(context, e.Code, e.Message);
        }
        catch (OperationCanceledException) when (context.Interrupted.IsCancellationRequested)
        {
            return Fail(context, ExitCode.Failed, "interrupted");
        }
        catch (OutputFailedException e)
        {
            return Fail(context, ExitCode.Failed, $"cannot write to the standard output: {FileFault.Text(e)}");
        }
        catch (Exception e)
        {
            // A bug must end with its exit code and with what its report needs.
            (ExitCode code, string sentence) = LastResort.Explain(e);
            return Fail(context, code, sentence);
        }
    }

    private static int RunVerb(string[] arguments, CliContext context)
    {
        CommandTree tree = new(context);
        if (Suggestions.IsAsked(arguments))
            return Suggestions.Write(tree.Root, arguments, context);

        ParserConfiguration parser = new() { ResponseFileTokenReplacer = null };
        ParseResult parsed = tree.Root.Parse(GiveGraphItsDefault(arguments), parser);
        if (parsed.GetResult(tree.Version) is { Implicit: false })
        {
            context.Output.WriteLine($"{Program} {VersionText()}");
            return (int)ExitCode.Done;
        }
        Command command = parsed.CommandResult.Command;
        bool isHelpAsked = tree.Root.Options.OfType<HelpOption>().Any(o => parsed.GetResult(o) is { Implicit: false });
        if (isHelpAsked && !command.Hidden)
        {
            HelpPage.Write(context.Output, command);
            return (int)ExitCode.Done;
        }
        if (command == tree.Root && parsed.UnmatchedTokens.Count == 0 && arguments.Length == 0)
        {
            HelpPage.WriteShort(context.Error, tree.Root);
            return (int)ExitCode.Usage;
        }
        if (!command.Hidden && UsageError.FindMistakenOption(parsed) is { } mistake)
            throw mistake;
        if (parsed.Errors.Count > 0)
            throw UsageError.Explain(parsed);
        // The parser handles neither exceptions, which this class does, nor signals, which the verbs do (and for 'run' its loop).
        return parsed.Invoke(new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = null });
    }

    /// <summary><c>--graph</c> alone means <c>--graph=dot</c>; the parser would take the file behind it for its value.</summary>
    private static string[] GiveGraphItsDefault(string[] arguments) =>
        [.. arguments.Index().Select(a => a.Item == "--graph" && !arguments.AsSpan(0, a.Index).Contains("--") ? "--graph=dot" : a.Item)];

    private static string VersionText() =>
        typeof(CommandLine).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion
        ?? "of unknown version";

    private static int Fail(CliContext context, ExitCode code, string sentence)
    {
        try
        {
            context.Output.Writer.Flush();
        }
        catch (IOException)
        {
            // Output that the verb wrote before the error cannot be written; the error still can.
        }
        try
        {
            context.Error.WriteLine($"{Program}: {sentence}");
        }
        catch (IOException)
        {
            // Standard error cannot be written: only the exit code tells.
        }
        return (int)code;
    }
}
