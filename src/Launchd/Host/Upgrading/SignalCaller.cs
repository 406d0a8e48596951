using Launchd.Client;

namespace Launchd.Host.Upgrading;

/// <summary>SIGUSR2, of which nobody waits for an answer: the log and the events have it.</summary>
internal sealed class SignalCaller : IUpgradeCaller
{
    public FileDescriptor? Connection => null;

    public void Refuse(string reason, bool mayTryAgain)
    {
        // The log has it already.
    }
}
