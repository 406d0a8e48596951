using System.Globalization;

namespace Launchd.Probe;

/// <summary>
/// The command line as steps. All durations are like <c>200ms</c>, <c>2s</c>, <c>1m</c>. Steps happen in the order in which they stand;
/// after the last one the probe waits for SIGTERM or SIGINT, which end it at any time.
/// <para>Settings, valid from the start wherever they stand: <c>--to PATH</c> (JSON lines are appended there, not to standard output),
/// <c>--ignore-term</c>, <c>--stop-code N</c>, <c>--drain DURATION</c> (between SIGTERM and the end), <c>--stopping</c> (sends STOPPING=1
/// at SIGTERM), <c>--confirm-reload</c> (answers SIGHUP with RELOADING=1 and READY=1).</para>
/// <para>Steps that say something: <c>--audit</c>, <c>--line TEXT</c>, <c>--unfinished TEXT</c> (no newline), <c>--error-line TEXT</c>,
/// <c>--write-bytes N</c>, <c>--read-fd NAME</c>.</para>
/// <para>Notifications: <c>--ready</c>, <c>--ready-after DURATION</c>, <c>--never-ready</c>, <c>--notify LINE…</c> (one datagram),
/// <c>--notify-from-child LINE…</c>, <c>--barrier</c>, <c>--store-fd NAME</c>, <c>--remove-fd NAME</c>, <c>--garbage-notify</c>,
/// <c>--watchdog</c> (pings for ever at half the asked interval), <c>--watchdog-for N</c> (N pings, then silence),
/// <c>--ready-fd N</c> (a newline to descriptor N, which is then closed).</para>
/// <para>Life: <c>--after DURATION</c>, <c>--wait PATH</c> (till a FIFO has a writer), <c>--exit N</c>,
/// <c>--exit-after DURATION[:CODE]</c>, <c>--fail-times N PATH</c> (exits 1 in its first N runs, counted in PATH),
/// <c>--signal-self NAME</c>.</para>
/// <para>Serving and offspring: <c>--greet TEXT</c> (for the <c>--echo</c> after it: sent first on each connection, <c>{pid}</c> and
/// <c>{slot}</c> filled in), <c>--echo</c> (every inherited listener and datagram socket), <c>--take</c> (reads
/// every inherited FIFO, queue and datagram socket), <c>--ask PATH TEXT</c> (connects to a Unix socket and reads to the end),
/// <c>--fork-child</c>, <c>--fork-daemon</c> (an
/// orphaned grandchild with a sid of its own).</para>
/// </summary>
internal sealed record Plan
{
    public required IReadOnlyList<Step> Steps { get; init; }
    public string? OutputPath { get; init; }
    public bool IgnoresTerm { get; init; }
    public bool SaysStopping { get; init; }
    public bool ConfirmsReload { get; init; }
    public int StopCode { get; init; }
    public TimeSpan Drain { get; init; }

    public static Plan Read(string[] arguments)
    {
        Plan plan = new() { Steps = [] };
        List<Step> steps = [];
        for (int i = 0; i < arguments.Length; i++)
        {
            string option = arguments[i];
            List<string> values = [];
            while (i + 1 < arguments.Length && !arguments[i + 1].StartsWith("--", StringComparison.Ordinal))
                values.Add(arguments[++i]);
            Step step = new(option, values);
            switch (option)
            {
                case "--to": plan = plan with { OutputPath = step.Text() }; break;
                case "--ignore-term": plan = plan with { IgnoresTerm = true }; break;
                case "--stopping": plan = plan with { SaysStopping = true }; break;
                case "--confirm-reload": plan = plan with { ConfirmsReload = true }; break;
                case "--stop-code": plan = plan with { StopCode = step.Number() }; break;
                case "--drain": plan = plan with { Drain = step.Duration() }; break;
                default: steps.Add(step); break;
            }
        }
        return plan with { Steps = steps };
    }
}

/// <summary>One option with the values that follow it.</summary>
internal sealed record Step(string Option, IReadOnlyList<string> Values)
{
    public string Text(int index = 0) => index < Values.Count ? Values[index] : throw new UsageException($"{Option} needs a value");

    public int Number(int index = 0) =>
        int.TryParse(Text(index), NumberStyles.Integer, CultureInfo.InvariantCulture, out int number)
            ? number
            : throw new UsageException($"{Option}: '{Text(index)}' is no number");

    public TimeSpan Duration() => ParseDuration(Text());

    /// <summary>Reads <c>DURATION:CODE</c>; the code is 0 if it is left out.</summary>
    public (TimeSpan After, int Code) DurationAndCode()
    {
        string[] parts = Text().Split(':');
        return (ParseDuration(parts[0]), parts.Length > 1 ? int.Parse(parts[1], CultureInfo.InvariantCulture) : 0);
    }

    private TimeSpan ParseDuration(string text)
    {
        (string number, Func<double, TimeSpan> unit) = text switch
        {
            _ when text.EndsWith("ms", StringComparison.Ordinal) => (text[..^2], TimeSpan.FromMilliseconds),
            _ when text.EndsWith('s') => (text[..^1], TimeSpan.FromSeconds),
            _ when text.EndsWith('m') => (text[..^1], (Func<double, TimeSpan>)TimeSpan.FromMinutes),
            _ => throw new UsageException($"{Option}: '{text}' has no unit (ms, s, m)"),
        };
        return double.TryParse(number, CultureInfo.InvariantCulture, out double value)
            ? unit(value)
            : throw new UsageException($"{Option}: '{text}' is no duration");
    }
}

/// <summary>The command line asks for something that the probe cannot do.</summary>
internal sealed class UsageException(string message) : Exception(message);
