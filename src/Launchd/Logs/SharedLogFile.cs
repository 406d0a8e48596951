namespace Launchd.Logs;

/// <summary>A log file and its queue, which all slots and streams with one path share. For the pump's thread.</summary>
/// <param name="file">The file, which belongs to the lanes, except its policy.</param>
/// <param name="queue">Lines on their way to the file.</param>
internal sealed class SharedLogFile(LogFile file, LineQueue queue)
{
    public LogFile File => file;

    public LineQueue Queue => queue;

    /// <summary>Sources that write to it.</summary>
    public int UserCount { get; set; }
}
