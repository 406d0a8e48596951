using System.Diagnostics;
using Launchd.Cli.Connecting;
using Launchd.Cli.Surroundings;
using Launchd.Cli.Views;
using Launchd.Control;

namespace Launchd.Cli.Verbs;

/// <summary>
/// <c>status --watch</c>: shows the status again after each event, and once a second on a terminal so that ages and queues move. On a
/// terminal it uses the alternate screen and gives the former one back, whatever ends it.
/// </summary>
internal sealed class StatusWatch(CliContext context, StatusOptions options, ControlClient client)
{
    private const string Enter = "\e[?1049h\e[?25l";
    private const string Leave = "\e[?25h\e[?1049l";

    private static readonly TimeSpan _refresh = TimeSpan.FromSeconds(1);

    /// <summary>Events come in bursts; nobody can read pictures that change more often.</summary>
    private static readonly TimeSpan _leastPause = TimeSpan.FromMilliseconds(100);

    private readonly bool _isScreen = context.Output.IsTerminal && !options.Json;
    private bool _isFirst = true;

    public ExitCode Run()
    {
        using IDisposable signals = context.ListenForSignals();
        using ControlClient events = ControlClient.Connect(client.SocketPath, context.Interrupted);
        events.Send("Events", new EventsRequest(Follow: true), ControlClient.Json.EventsRequest, more: true);
        // An unknown service is refused before the screen changes.
        StatusReply status = StatusCommand.Ask(context, client, options.Service);
        try
        {
            if (_isScreen)
                context.Output.Writer.Write(Enter);
            while (true)
            {
                Show(status);
                AwaitChange(events);
                status = StatusCommand.Ask(context, client, options.Service);
            }
        }
        catch (OperationCanceledException)
        {
            return ExitCode.Done; // Ctrl-C is how a watch ends.
        }
        finally
        {
            if (_isScreen)
                context.Output.Writer.Write(Leave);
            context.Output.Writer.Flush();
        }
    }

    private void Show(StatusReply status)
    {
        if (_isScreen)
        {
            ShowScreen(status);
        }
        else
        {
            if (!_isFirst && !options.Json)
                context.Output.WriteLine();
            StatusCommand.Show(context.Output, status, options.Json);
        }
        _isFirst = false;
        context.Output.Writer.Flush();
    }

    /// <summary>Draws over the former picture line by line, which does not flicker, and clears the rest of it.</summary>
    private void ShowScreen(StatusReply status)
    {
        StringWriter picture = new();
        Terminal canvas = new() { Writer = picture, IsTerminal = true, HasColour = context.Output.HasColour, Size = context.Output.Size };
        StatusView.Write(canvas, status);
        string[] lines = picture.ToString().TrimEnd('\n').Split('\n');
        int rows = context.Output.Size().Rows;
        if (lines.Length > rows)
            lines = [.. lines[..(rows - 1)], $"… {lines.Length - rows + 1} more lines; name a service to see it alone"];
        context.Output.Writer.Write("\e[H" + string.Join("\r\n", lines.Select(l => l + "\e[K")) + "\e[J");
    }

    /// <summary>Returns after an event and the pause that gathers those right behind it, or when the picture has become old.</summary>
    private void AwaitChange(ControlClient events)
    {
        long started = Stopwatch.GetTimestamp();
        bool hasChanged = false;
        while (true)
        {
            TimeSpan elapsed = Stopwatch.GetElapsedTime(started);
            TimeSpan? limit = hasChanged ? _leastPause : _isScreen ? _refresh : null;
            if (limit is { } l && elapsed >= l)
                return;
            EventsReply? reply = events.Receive(ControlClient.Json.EventsReply, limit - elapsed, out _);
            hasChanged |= reply is not null;
        }
    }
}
