using System.Text.Json;
using Launchd.Cli.Connecting;
using Launchd.Cli.Surroundings;
using Launchd.Control;

namespace Launchd.Cli.Verbs;

/// <summary>What the operator asked of <c>upgrade</c>.</summary>
internal sealed record UpgradeOptions(string? Name, string? Binary, bool Json);

/// <summary><c>upgrade</c>: another program in the supervisor's place, with everything kept.</summary>
internal static class UpgradeCommand
{
    public static ExitCode Run(CliContext context, UpgradeOptions options)
    {
        UpgradeRequest request = new(options.Binary is { } binary ? CliContext.FullPath(binary) : null);
        using ControlClient client = new SupervisorFinder(context).Connect(options.Name);
        using IDisposable signals = context.ListenForSignals();
        try
        {
            UpgradeReply reply = client.Call(
                "Upgrade", request, ControlClient.Json.UpgradeRequest, ControlClient.Json.UpgradeReply, timeout: null);
            string versions = reply.From == reply.To ? $"of the same version, {reply.To}" : $"from version {reply.From} to {reply.To}";
            context.Output.WriteLine(options.Json
                ? JsonSerializer.Serialize(reply, ControlClient.Json.UpgradeReply)
                : TerminalText.Escape($"upgraded {versions}; the supervisor is pid {reply.Pid} now"));
            return ExitCode.Done;
        }
        catch (OperationCanceledException)
        {
            throw new CliException(ExitCode.Failed, "no longer waiting; the upgrade goes on: see 'launchd-cs events'");
        }
    }
}
