using System.Text.Json;
using Launchd.Cli.Connecting;
using Launchd.Cli.Surroundings;
using Launchd.Cli.Views;
using Launchd.Control;

namespace Launchd.Cli.Verbs;

/// <summary>An order to services, as the operator gave it.</summary>
/// <param name="Method">Start, Stop, Restart, ReloadService or Signal.</param>
/// <param name="Name">The supervisor's name; null: it is looked for.</param>
/// <param name="Request">The parameters for the supervisor.</param>
/// <param name="Json">Whether to print the final reply as JSON.</param>
internal sealed record OrderOptions(string Method, string? Name, ServicesRequest Request, bool Json);

/// <summary>
/// <c>start</c>, <c>stop</c>, <c>restart</c>, <c>reload-service</c> and <c>signal</c>: an order, its progress, its verdict.
/// </summary>
internal static class ServiceCommands
{
    public static ExitCode Run(CliContext context, OrderOptions order)
    {
        using ControlClient client = new SupervisorFinder(context).Connect(order.Name);
        using IDisposable signals = context.ListenForSignals();
        ProgressDisplay? display = order.Json ? null : new(context.Output, order.Method, order.Request);
        ServiceResult[] results = Await(order, client, display);
        if (order.Json)
            context.Output.WriteLine(JsonSerializer.Serialize(new ServicesReply { Results = results }, ControlClient.Json.ServicesReply));
        else if (order.Method is "Start" or "Restart" or "ReloadService")
            WarnOfEdits(context, client, results);
        return results.All(r => r.Ok) ? ExitCode.Done : ExitCode.Failed;
    }

    /// <summary>
    /// No order but a reload reads the configuration, and whoever has just edited it and starts a service expects that it is read.
    /// </summary>
    private static void WarnOfEdits(CliContext context, ControlClient client, ServiceResult[] results)
    {
        try
        {
            ReloadReply plan = client.Call(
                "Plan", new PlanRequest(), ControlClient.Json.PlanRequest, ControlClient.Json.ReloadReply, context.AnswerTimeout);
            string[] edited = [.. results.Select(r => r.Service)
                .Where(name => plan.Changes?.Any(c => c.Table == $"services.{name}") == true).Select(TerminalText.Escape)];
            if (edited.Length > 0)
            {
                context.Error.WriteLine($"launchd-cs: {string.Join(", ", edited)}: the configuration has changed since it was read; "
                    + "'launchd-cs reload' takes the changes over, 'launchd-cs check --plan' shows them");
            }
        }
        catch (CliException wrong) when (wrong.Code == ExitCode.BadConfiguration)
        {
            context.Error.WriteLine("launchd-cs: the configuration has changed since it was read, and is wrong; "
                + "'launchd-cs check --plan' says what");
        }
        catch (CliException)
        {
            // What became of the order is told already; a supervisor that cannot or may not say more has no part in that.
        }
    }

    private static ServiceResult[] Await(OrderOptions order, ControlClient client, ProgressDisplay? display)
    {
        try
        {
            IEnumerable<ServicesReply> replies = client.Stream(
                order.Method, order.Request, ControlClient.Json.ServicesRequest, ControlClient.Json.ServicesReply);
            foreach (ServicesReply reply in replies)
            {
                if (reply.Progress is { } progress)
                    display?.Show(progress);
                if (reply.Results is not { } results)
                    continue;
                display?.Finish(results);
                return results;
            }
            throw new CliException(ExitCode.Failed, "the supervisor ended its answer without a verdict; see 'launchd-cs status'");
        }
        catch (OperationCanceledException)
        {
            string name = order.Method == "ReloadService" ? "reload-service" : order.Method.ToLowerInvariant();
            throw new CliException(ExitCode.Failed, $"no longer waiting; the supervisor goes on with the {name}: see 'launchd-cs status'");
        }
        finally
        {
            display?.Close();
        }
    }
}
