using Launchd.Model;

namespace Launchd.Logs;

/// <summary>The instance whose output comes out of a pipe, and the stream.</summary>
internal sealed record OutputSource
{
    public required long InstanceId { get; init; }
    public required string Service { get; init; }
    public required int Slot { get; init; }

    /// <summary><c>output</c> or <c>error</c>; <c>output</c> too where one pipe carries both.</summary>
    public required string Stream { get; init; }

    /// <summary>A line is passed on in one piece up to this length, if there is memory.</summary>
    public int LongestLineBytes { get; init; } = ServiceDefinition.DefaultLongestLineBytes;

    /// <summary>The service's own file, beside the supervisor's output. All slots and streams with one path share one file.</summary>
    public LogPolicy? File { get; init; }

    /// <summary>Who gets the file when it is made.</summary>
    public LogFileOwner FileOwner { get; init; } = LogFileOwner.Own;
}
