namespace Launchd.Client.Interop;

/// <summary>
/// Closes descriptors for those who must not wait: what came from a stranger may take its time (SO_LINGER, a file system of its own).
/// </summary>
internal interface IDescriptorCloser
{
    /// <summary>From any thread, once for each number, which the caller must not use any more.</summary>
    public void Close(int numberTaken);
}
