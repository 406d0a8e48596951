using System.Text.Json;
using Launchd.Cli.Surroundings;
using Launchd.Control;

namespace Launchd.Cli.Connecting;

/// <summary>Turns a refusal of the supervisor into the operator's sentence and exit code.</summary>
internal static class ControlRefusal
{
    public static CliException Explain(string error, ReadOnlySpan<byte> parameters)
    {
        ErrorDetail detail = Detail(parameters);
        string name = TerminalText.Escape(detail.Name ?? detail.Parameter ?? "");
        string hint = detail.Hint is { } h ? $"; did you mean '{TerminalText.Escape(h)}'?" : "";
        (ExitCode code, string sentence) = error switch
        {
            ControlNames.NoSuchService => (ExitCode.NoSuchService, $"no service is named '{name}'"),
            ControlNames.NotPermitted => (
                ExitCode.NotPermitted, "the supervisor does not let this user do that; run it as the supervisor's user or as root"),
            ControlNames.ShuttingDown => (ExitCode.Failed, "the supervisor is shutting down and takes no orders"),
            ControlNames.NoSuchDescriptor => (ExitCode.Failed, $"there is no descriptor '{name}'; 'launchd-cs fds' lists them"),
            ControlNames.NotRunning => (ExitCode.Failed, $"'{name}' has no running instance"),
            ControlNames.NoTerminal => (ExitCode.Failed, "it has no terminal"),
            ControlNames.NotPermittedByKernel => (ExitCode.NotPermitted, "the kernel does not let the supervisor take it"),
            ControlNames.UpgradeRefused => (ExitCode.Failed, "not upgraded, nothing was changed"),
            ControlNames.LimitReached => (ExitCode.TimedOut, "the supervisor has reached a limit; try again later"),
            ControlNames.BadConfiguration => (ExitCode.BadConfiguration, "the configuration is wrong, nothing was changed"),
            ControlNames.ReloadRefused => (ExitCode.Failed, "not reloaded, nothing was changed"),
            ControlNames.MethodNotFound => (
                ExitCode.Failed, "the running supervisor does not know this order; it is older than this command"),
            ControlNames.InvalidParameter => (
                ExitCode.Failed,
                $"the running supervisor does not take the parameter '{name}'; it is of another version than this command"),
            _ => (
                ExitCode.Failed,
                $"the supervisor refused with {TerminalText.Escape(error)}; it may be of another version than this command"),
        };
        // The text may be diagnostics of several lines, which stay lines when they are escaped.
        return new CliException(
            code, (detail.Text is { } text ? string.Join('\n', text.Split('\n').Select(TerminalText.Escape)) : sentence) + hint);
    }

    private static ErrorDetail Detail(ReadOnlySpan<byte> parameters)
    {
        try
        {
            return JsonSerializer.Deserialize(parameters, ControlClient.Json.ErrorDetail) ?? new ErrorDetail();
        }
        catch (JsonException)
        {
            return new ErrorDetail(); // The error's name says enough.
        }
    }
}
