using System.Net.Sockets;

namespace Launchd.Client;

/// <summary>
/// Makes a listener that other processes hold as well safe in the hands of <see cref="Socket"/>. Disposing a Socket that waits in
/// accept(2) disconnects it to wake the waiting thread, and a listener that is disconnected is so for everybody who holds it: TCP
/// leaves LISTEN, a Unix listener refuses for ever.
/// </summary>
public static class SharedListener
{
    /// <summary>
    /// Call it once, before the first <see cref="Socket.Accept()"/>. From then on synchronous calls of this Socket wait in .NET, not in
    /// the kernel, so that disposing it has nothing to wake there. The price: O_NONBLOCK is set on the open file description, and all
    /// its holders see that; asynchronous calls set it anyway.
    /// </summary>
    /// <param name="listener">Borrowed.</param>
    public static void Protect(Socket listener)
    {
        ArgumentNullException.ThrowIfNull(listener);
        // The first sets O_NONBLOCK, the second asks .NET to wait itself: it never clears the flag again.
        listener.Blocking = false;
        listener.Blocking = true;
    }
}
