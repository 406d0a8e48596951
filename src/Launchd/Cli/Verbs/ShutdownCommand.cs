using System.Text.Json;
using Launchd.Cli.Connecting;
using Launchd.Cli.Surroundings;
using Launchd.Control;

namespace Launchd.Cli.Verbs;

/// <summary><c>shutdown</c>: ends the services in reverse order and then the supervisor.</summary>
internal static class ShutdownCommand
{
    public static ExitCode Run(CliContext context, string? name, bool json)
    {
        using ControlClient client = new SupervisorFinder(context).Connect(name);
        using IDisposable signals = context.ListenForSignals();
        try
        {
            ShutdownReply reply = client.Call(
                "Shutdown", new FilterRequest(), ControlClient.Json.FilterRequest, ControlClient.Json.ShutdownReply, timeout: null);
            string services = reply.Stopped == 1 ? "1 service" : $"{reply.Stopped} services";
            context.Output.WriteLine(
                json ? JsonSerializer.Serialize(reply, ControlClient.Json.ShutdownReply) : $"shut down: {services} stopped");
            foreach (string left in reply.Left ?? [])
                context.Error.WriteLine($"launchd-cs: {TerminalText.Escape(left)}");
            return reply.Left is null ? ExitCode.Done : ExitCode.Failed;
        }
        catch (OperationCanceledException)
        {
            throw new CliException(ExitCode.Failed, "no longer waiting; the supervisor goes on shutting down");
        }
    }
}
