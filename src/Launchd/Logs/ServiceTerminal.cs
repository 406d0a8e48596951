using Launchd.Client;

namespace Launchd.Logs;

/// <summary>What belongs to the pseudo-terminal of an instance beside its master. Belongs to the pump's thread.</summary>
/// <param name="slaveTaken">Held, so that the terminal does not end while the program closes its end and opens it anew.</param>
internal sealed class ServiceTerminal(FileDescriptor slaveTaken) : IDisposable
{
    public void Dispose() => slaveTaken.Dispose();
}
