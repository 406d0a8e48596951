namespace Launchd.Control;

/// <summary>Parameters of Reload.</summary>
/// <param name="Wait">False: answered as soon as the new configuration holds, without waiting for its services.</param>
internal sealed record ReloadRequest(bool Wait = true);

/// <summary>Parameters of Plan.</summary>
/// <param name="File">Absolute path of a file that stands for the supervisor's own; null: the supervisor's own file.</param>
internal sealed record PlanRequest(string? File = null);

/// <summary>
/// Answer of Reload and Plan. Called with <c>more</c>, Reload answers with <c>Changes</c> as soon as they hold, then with <c>Progress</c>;
/// the last answer has <c>Results</c>, and <c>Changes</c> once more.
/// </summary>
internal sealed record ReloadReply
{
    public ReloadChange[]? Changes { get; init; }

    /// <summary>Services, sockets and files that are the same.</summary>
    public int? UnchangedCount { get; init; }
    public ServiceProgress? Progress { get; init; }
    public ServiceResult[]? Results { get; init; }
}

/// <summary>One table of the configuration that differs.</summary>
/// <param name="Table"><c>services.web</c>, <c>sockets.http</c>, <c>files.audit</c>, <c>supervisor</c>.</param>
/// <param name="Kind">added, changed or removed.</param>
/// <param name="Effect">
/// starts, stays-stopped, stops, new-generation, scales, in-place, opens, opens-anew, takes-over, closes or refused.
/// </param>
/// <param name="Source">For takes-over: the name under which the socket was open.</param>
/// <param name="Keys">The keys that changed.</param>
internal sealed record ReloadChange(string Table, string Kind, string Effect, string? Source, ReloadKey[] Keys);

/// <summary>
/// One key with its values, as people read them; null: it had, or has, no value. Values of environment variables are not shown.
/// </summary>
internal sealed record ReloadKey(string Key, string? From, string? To);
