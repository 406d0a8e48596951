using System.Text.Json;
using Launchd.Cli.Connecting;
using Launchd.Cli.Surroundings;
using Launchd.Cli.Views;
using Launchd.Control;

namespace Launchd.Cli.Verbs;

/// <summary>What the operator asked of <c>reload</c>.</summary>
internal sealed record ReloadOptions(string? Name, bool NoWait, bool Json);

/// <summary>
/// <c>reload</c>: another configuration as one transaction, the difference that it makes, and what becomes of the services.
/// </summary>
internal static class ReloadCommand
{
    public static ExitCode Run(CliContext context, ReloadOptions options)
    {
        using ControlClient client = new SupervisorFinder(context).Connect(options.Name);
        using IDisposable signals = context.ListenForSignals();
        ProgressDisplay? display = options.Json ? null : new(context.Output, "Reload", new ServicesRequest());
        ReloadReply reply = Await(client, context, options, display);
        if (options.Json)
            context.Output.WriteLine(JsonSerializer.Serialize(reply, ControlClient.Json.ReloadReply));
        return reply.Results!.All(r => r.Ok) ? ExitCode.Done : ExitCode.Failed;
    }

    private static ReloadReply Await(ControlClient client, CliContext context, ReloadOptions options, ProgressDisplay? display)
    {
        bool isShown = false;
        try
        {
            IEnumerable<ReloadReply> replies = client.Stream(
                "Reload", new ReloadRequest(!options.NoWait), ControlClient.Json.ReloadRequest, ControlClient.Json.ReloadReply);
            foreach (ReloadReply reply in replies)
            {
                if (reply.Changes is not null && !isShown && !options.Json)
                {
                    isShown = true;
                    ChangeView.Write(context.Output, reply, isPlan: false);
                    context.Output.Writer.Flush();
                }
                if (reply.Progress is { } progress)
                    display?.Show(progress);
                if (reply.Results is not { } results)
                    continue;
                if (results.Length > 0)
                {
                    if (display is not null)
                        context.Output.WriteLine();
                    display?.Finish(results);
                }
                return reply;
            }
            throw new CliException(ExitCode.Failed, "the supervisor ended its answer without a verdict; see 'launchd-cs status'");
        }
        catch (OperationCanceledException)
        {
            throw new CliException(ExitCode.Failed, "no longer waiting; the supervisor goes on with the reload: see 'launchd-cs status'");
        }
        finally
        {
            display?.Close();
        }
    }
}
