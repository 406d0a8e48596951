using System.Text.Json;
using Launchd.Cli.Connecting;
using Launchd.Cli.Surroundings;
using Launchd.Cli.Views;
using Launchd.Control;

namespace Launchd.Cli.Verbs;

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

    /// <summary>
    /// The exit code. Without a name: whether all services run that are meant to. With a name: whether that service runs, meant to or not.
    /// </summary>
    private static ExitCode Judge(StatusReply status, string? service)
    {
        IEnumerable<ServiceStatus> judged = service is null ? status.Services.Where(s => s.Wanted) : status.Services;
        return judged.All(IsAsWanted) ? ExitCode.Done : ExitCode.NotRunning;
    }

    /// <summary>
    /// A service that waits for its first client is as it should be; a service whose last start failed is not, even if it listens.
    /// </summary>
    private static bool IsAsWanted(ServiceStatus service) =>
        service.State is "ready" or "completed" || (service.Listening && service.State is not ("failed" or "faulted" or "backing-off"));
}
