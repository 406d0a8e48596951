namespace Launchd.Client;

/// <summary>In which way a sibling's descriptor is got.</summary>
public enum RequestMode
{
    /// <summary>The supervisor sends the same open file: offset and flags are shared with the owner. The usual one.</summary>
    Duplicate,

    /// <summary>This process takes it from the owner itself, pidfd_getfd(2): needs the right to trace the owner.</summary>
    Direct,

    /// <summary>The same file opened anew: an offset of its own, and perhaps less access. Not for sockets.</summary>
    Reopen,
}

/// <summary>The options of a request for a sibling's descriptor; see <see cref="LaunchdClient.RequestAsync"/>.</summary>
public sealed class RequestOptions
{
    /// <summary>Which instance of a pool; null, the default: the supervisor picks the best of those that have it.</summary>
    public int? Slot { get; init; }

    /// <summary>In which way; default <see cref="RequestMode.Duplicate"/>.</summary>
    public RequestMode Mode { get; init; }

    /// <summary>
    /// For <see cref="RequestMode.Reopen"/>: <see cref="FileAccess.Read"/>, the default, or <see cref="FileAccess.Write"/>.
    /// </summary>
    public FileAccess Access { get; init; } = FileAccess.Read;

    /// <summary>How long the supervisor waits for a sibling that has not published it yet; default: not at all.</summary>
    public TimeSpan Wait { get; init; }
}
