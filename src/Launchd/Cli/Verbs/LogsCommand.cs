using System.Globalization;
using System.Text.Json;
using Launchd.Cli.Connecting;
using Launchd.Cli.Surroundings;
using Launchd.Cli.Views;
using Launchd.Control;

namespace Launchd.Cli.Verbs;

/// <summary>What the operator asked of <c>logs</c>.</summary>
internal sealed record LogsOptions(string? Name, string? Service, int Lines, bool Follow, bool Json);

/// <summary><c>logs</c>: the captured output of services, one line each, as it was and, with follow, as it comes.</summary>
internal static class LogsCommand
{
    /// <summary>Most lines that may be asked for.</summary>
    public const int MostLines = 10_000;

    public static ExitCode Run(CliContext context, LogsOptions options)
    {
        using ControlClient client = new SupervisorFinder(context).Connect(options.Name);
        using IDisposable? signals = options.Follow ? context.ListenForSignals() : null;
        LogsRequest request = new() { Service = options.Service, Lines = options.Lines, Follow = options.Follow };
        TimeSpan? timeout = options.Follow ? null : context.AnswerTimeout;
        try
        {
            IEnumerable<LogsReply> replies = client.Stream(
                "Logs", request, ControlClient.Json.LogsRequest, ControlClient.Json.LogsReply, timeout);
            foreach (LogsReply reply in replies)
            {
                EventsCommand.WarnOfLost(context, reply.Lost, "lines", "they came faster than they were read");
                foreach (LogLine line in reply.Lines)
                    Write(context, line, options.Json);
                context.Output.Writer.Flush();
            }
        }
        catch (OperationCanceledException)
        {
            return ExitCode.Done; // Ctrl-C is how following ends.
        }
        return ExitCode.Done;
    }

    /// <summary>Reads the value of <c>--lines</c>; absent: 10.</summary>
    public static int ReadLines(string? text)
    {
        if (text is null)
            return 10;
        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int count) && count <= MostLines)
            return count;
        throw new CliException(ExitCode.Usage, $"--lines takes a number from 0 to {MostLines}, not '{TerminalText.Escape(text)}'");
    }

    private static void Write(CliContext context, LogLine line, bool json)
    {
        Terminal output = context.Output;
        if (json)
        {
            output.WriteLine(JsonSerializer.Serialize(line, ControlClient.Json.LogLine));
            return;
        }
        string time = output.Paint(TimeText.Local(line.Time, context.LocalTime), Style.Faint);
        string origin = TerminalText.Escape($"{line.Service}.{line.Slot}");
        output.WriteLine($"{time} {output.Paint(origin, Style.Strong)} │ {TerminalText.Escape(line.Marked())}");
    }
}
