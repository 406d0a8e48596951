using Launchd.Client;
using Launchd.Control;
using Launchd.Host.Reporting;
using Launchd.Host.Upgrading;

namespace Launchd.Host.Operators;

/// <summary>The control method Upgrade, which is called of one supervisor and answered by another, on the same connection.</summary>
internal static class UpgradeMethods
{
    public static void Upgrade(Upgrades upgrades, ControlConnection from, UpgradeRequest request)
    {
        if (request.Binary is { } path && (!path.StartsWith('/') || path.Contains('\0')))
        {
            from.Refuse(ControlNames.InvalidParameter, new ErrorDetail { Parameter = "binary", Text = "the path must be absolute" });
            return;
        }
        upgrades.Ask(request.Binary, new Caller(from));
    }

    /// <summary>What the supervisor that goes on says to whoever has called the one before it.</summary>
    public static void Answer(ControlConnection to, UpgradeEnd end)
    {
        if (end.WhyBack is { } why)
            Refuse(to, ControlNames.UpgradeRefused, why);
        else
            to.Answer(new UpgradeReply(end.From, ProductVersion.Text, Environment.ProcessId), ControlJson.Default.UpgradeReply);
    }

    private static void Refuse(ControlConnection to, string error, string reason) =>
        to.Refuse(error, new ErrorDetail { Text = $"not upgraded, nothing was changed: {reason}" });

    private sealed class Caller(ControlConnection from) : IUpgradeCaller
    {
        public FileDescriptor? Connection => from.Transferable;

        public void Refuse(string reason, bool mayTryAgain) =>
            UpgradeMethods.Refuse(from, mayTryAgain ? ControlNames.LimitReached : ControlNames.UpgradeRefused, reason);
    }
}
