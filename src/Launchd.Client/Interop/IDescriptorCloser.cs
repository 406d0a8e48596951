namespace Launchd.Client.Interop;

/// <summary>
/// Closes descriptors for threads that must not wait: closing a stranger's descriptor may take long (SO_LINGER, a file system of its own).
/// </summary>
internal interface IDescriptorCloser
{
    /// <summary>Called from any thread, once for each number, which the caller must not use any more.</summary>
    public void Close(int numberTaken);
}
