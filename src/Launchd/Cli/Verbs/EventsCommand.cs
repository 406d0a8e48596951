using System.Text.Json;
using Launchd.Cli.Connecting;
using Launchd.Cli.Surroundings;
using Launchd.Cli.Views;
using Launchd.Control;

namespace Launchd.Cli.Verbs;

/// <summary>What the operator asked of <c>events</c>.</summary>
internal sealed record EventsOptions(string? Name, bool Follow, bool Json);

/// <summary><c>events</c>: what happened since the start, and with follow what happens from now on.</summary>
internal static class EventsCommand
{
    public static ExitCode Run(CliContext context, EventsOptions options)
    {
        using ControlClient client = new SupervisorFinder(context).Connect(options.Name);
        using IDisposable? signals = options.Follow ? context.ListenForSignals() : null;
        TimeSpan? timeout = options.Follow ? null : context.AnswerTimeout;
        EventsRequest request = new(options.Follow);
        try
        {
            IEnumerable<EventsReply> replies = client.Stream(
                "Events", request, ControlClient.Json.EventsRequest, ControlClient.Json.EventsReply, timeout);
            foreach (EventsReply reply in replies)
            {
                WarnOfLost(context, reply.Lost, "events", "more came than are kept, or than were read in time");
                foreach (JsonElement item in reply.Events)
                    context.Output.WriteLine(options.Json ? Compact(item) : EventText.Line(context.Output, item, context.LocalTime));
                context.Output.Writer.Flush();
            }
        }
        catch (OperationCanceledException)
        {
            return ExitCode.Done; // Ctrl-C is how following ends.
        }
        return ExitCode.Done;
    }

    /// <summary>Says on standard error how many a reader has missed, where the gap is.</summary>
    public static void WarnOfLost(CliContext context, long lost, string what, string why)
    {
        if (lost == 0)
            return;
        context.Output.Writer.Flush();
        context.Error.WriteLine($"launchd-cs: {lost} {what} were lost here: {why}");
    }

    private static string Compact(JsonElement item) => JsonSerializer.Serialize(item, ControlClient.Json.JsonElement);
}
