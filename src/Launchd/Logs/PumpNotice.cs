using Launchd.Client;
using Launchd.Linux.Loop;

namespace Launchd.Logs;

/// <summary>What the pump wants logged. A closed family; posted to the main loop, once for each change and not for each line.</summary>
internal abstract record PumpNotice
{
    private PumpNotice()
    {
    }

    /// <summary>A service's log file cannot be opened or written; lines are dropped and counted until it can.</summary>
    /// <param name="FilePath">As configured.</param>
    /// <param name="Error">Why.</param>
    /// <param name="Explanation">Why even root may not write it; null: the error says it all.</param>
    internal sealed record LogFileFailed(string FilePath, Errno Error, string? Explanation = null) : PumpNotice
    {
        public override string ToString() =>
            $"cannot write {FilePath}: {Error}{(Explanation is null ? "" : $" ({Explanation})")}; "
            + "lines are dropped until it can be written";
    }

    /// <summary>A log file can be written again. <paramref name="LostLines"/>: lines that this file lost since the start.</summary>
    internal sealed record LogFileRecovered(string FilePath, long LostLines) : PumpNotice
    {
        public override string ToString() => $"{FilePath} can be written again; {LostLines} lines were lost since the start";
    }

    /// <summary>A log file cannot be renamed for rotation, so it grows beyond its limit.</summary>
    internal sealed record RotationFailed(string FilePath, Errno Error) : PumpNotice
    {
        public override string ToString() => $"cannot rename {FilePath}: {Error}; it grows beyond its limit";
    }

    /// <summary>The operator's order to open log files anew holds: the next line of each goes to what its path names then.</summary>
    internal sealed record FilesReopened(int Count) : PumpNotice
    {
        public override string ToString() => $"log files are opened anew: {Count}";
    }

    /// <summary>Reading or handling one source went wrong and it was closed. <paramref name="Text"/> says how.</summary>
    internal sealed record SourceFailed(long InstanceId, string Stream, string Text) : PumpNotice
    {
        public override string ToString() => $"stopped reading the {Stream} of instance {InstanceId}: {Text}";
    }

    /// <summary>
    /// The pipe or terminal of an instance cannot be read or closed: a program that holds a lock of it keeps the reader waiting. The output
    /// comes when it lets go.
    /// </summary>
    internal sealed record SourceHangs(string Label, string Stream, bool IsTerminal = false) : PumpNotice
    {
        public override string ToString() => IsTerminal
            ? $"the terminal of '{Label}' keeps its reader waiting: a program is in a call on it that does not come back"
            : $"the {Stream} of '{Label}' cannot be read: a program holds its pipe while it copies into it from where nothing comes "
                + "(splice(2)); what it wrote is shown when it lets go";
    }

    /// <summary>A write hangs; only the thread that made it waits for it.</summary>
    internal sealed record TargetHangs(string Label) : PumpNotice
    {
        public override string ToString() => $"writing to {Label} takes long: its lines wait, and are lost if there are too many";
    }

    /// <summary>The kernel does not tell when there is something to read from some pipes of programs.</summary>
    internal sealed record SourcesAreAsked(Errno Error) : PumpNotice
    {
        public override string ToString() => "output of programs: " + EventLoop.DescribeAsking(Error);
    }

    /// <summary>A log file that was made could not get the owner and mode that the configuration names.</summary>
    internal sealed record OwnerRefused(string FilePath, string Text) : PumpNotice
    {
        public override string ToString() =>
            $"{FilePath} stays the supervisor's own, without the 'user', 'group' and 'mode' of its log: {Text}";
    }

    /// <summary>A request of the main loop failed inside the pump: a defect.</summary>
    internal sealed record RequestFailed(string Text) : PumpNotice
    {
        public override string ToString() => $"the log pump could not carry out a request: {Text}";
    }
}
