using System.Text.Json;
using Launchd.Control;

namespace Launchd.Cli;

/// <summary>What the operator asked of <c>status</c>.</summary>
internal sealed record StatusOptions(string? Name, string? Service, bool Watch, bool Json);

/// <summary><c>status</c>: the state of the supervisor, its services and sockets, once or until interrupted.</summary>
internal static class StatusCommand
{
    public static ExitCode Run(CliContext context, StatusOptions options)
    {
        using ControlClient client = new SupervisorFinder(context).Connect(options.Name);
        if (options.Watch)
            return new StatusWatch(context, options, client).Run();

        StatusReply status = Ask(context, client, options.Service);
        Show(context.Output, status, options.Json);
        return Judge(status, options.Service);
    }

    public static StatusReply Ask(CliContext context, ControlClient client, string? service) => client.Call(
        "Status", new FilterRequest(service), ControlClient.Json.FilterRequest, ControlClient.Json.StatusReply, context.AnswerTimeout);

    public static void Show(Terminal terminal, StatusReply status, bool json)
    {
        if (json)
            terminal.WriteLine(JsonSerializer.Serialize(status, ControlClient.Json.StatusReply));
        else
            StatusView.Write(terminal, status);
    }

    /// <summary>Without a name: whether all that is meant to run is ready. With one: whether it is ready, meant to run or not.</summary>
    private static ExitCode Judge(StatusReply status, string? service)
    {
        IEnumerable<ServiceStatus> judged = service is null ? status.Services.Where(s => s.Wanted) : status.Services;
        return judged.All(s => s.State == "ready") ? ExitCode.Done : ExitCode.NotRunning;
    }
}
