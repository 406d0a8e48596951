using Launchd.Client;

namespace Launchd.Host.Upgrading;

/// <summary>Whoever has ordered an upgrade, and waits for the verdict.</summary>
internal interface IUpgradeCaller
{
    /// <summary>
    /// The connection on which the next supervisor is to answer; borrowed. Null: nobody waits, or what was begun on it cannot be gone on
    /// with.
    /// </summary>
    public FileDescriptor? Connection { get; }

    /// <summary>Nothing was changed.</summary>
    /// <param name="reason">A sentence without its end.</param>
    /// <param name="mayTryAgain">It is a matter of time.</param>
    public void Refuse(string reason, bool mayTryAgain);
}
