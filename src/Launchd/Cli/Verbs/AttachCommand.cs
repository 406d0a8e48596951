using System.CommandLine;
using System.CommandLine.Completions;
using Launchd.Cli.Connecting;
using Launchd.Cli.Surroundings;
using Launchd.Client;
using Launchd.Control;

namespace Launchd.Cli.Verbs;

/// <summary><c>attach</c>: connects the operator's terminal with that of a running service.</summary>
internal static class AttachCommand
{
    public const string Name = "attach";

    public static Command Describe(
        CliContext context, Option<string?> supervisor, Func<CompletionContext, IEnumerable<CompletionItem>> services)
    {
        Argument<string?> service = new("SERVICE")
        {
            Arity = ArgumentArity.ZeroOrOne, Description = "a service with terminal = true; web.1 for one slot",
        };
        service.CompletionSources.Add(services);
        Option<bool> readOnly = new("--read-only") { Description = "shows the terminal; nothing is typed" };
        Option<string?> keys = new("--detach-keys")
        {
            HelpName = "KEYS", Description = $"what leaves it, such as ctrl-p,ctrl-q (default: {DetachKeys.Default})",
        };
        Command command = new(Name, "connects this terminal with that of a running service") { service, readOnly, keys };
        command.SetAction(p => (int)Run(
            context, p.GetValue(supervisor), p.GetValue(service), p.GetValue(readOnly),
            DetachKeys.Parse(p.GetValue(keys) ?? DetachKeys.Default)));
        return command;
    }

    private static ExitCode Run(CliContext context, string? supervisor, string? service, bool isReadOnly, DetachKeys keys)
    {
        if (service is null)
            throw new CliException(ExitCode.Usage, $"attach needs the name of a service; see 'launchd-cs {Name} --help'");
        using FileDescriptor socket = Attach(context, supervisor, service, isReadOnly, out AttachReply reply);
        string name = TerminalText.Escape($"{reply.Service}.{reply.Slot}");
        using AttachSession session = new(socket, keys, isReadOnly);
        string how = session.HasKeyboard ? $"{keys} detaches" : "Ctrl-C detaches";
        context.Error.WriteLine($"launchd-cs: attached to {name}, pid {reply.Pid}{(isReadOnly ? ", to look only" : "")}; {how}");
        AttachEnd end = session.Run();
        context.Error.WriteLine("launchd-cs: " + end switch
        {
            AttachEnd.Detached => $"detached from {name}, which goes on",
            AttachEnd.ProgramEnded => $"{name} has ended{Afterwards(context, supervisor, reply.Service)}",
            _ => $"cut off from {name}: the supervisor has ended or has no descriptors left, or another operator has the place",
        });
        if (session.UnsentBytes > 0)
            context.Error.WriteLine($"launchd-cs: {session.UnsentBytes} typed bytes are lost: {name} did not read them");
        return end == AttachEnd.CutOff ? ExitCode.Unreachable : ExitCode.Done;
    }

    private static FileDescriptor Attach(
        CliContext context, string? supervisor, string service, bool isReadOnly, out AttachReply reply)
    {
        (int Columns, int Rows)? size = isReadOnly ? null : AttachSession.Size();
        AttachRequest request = new(service, size?.Columns, size?.Rows, isReadOnly);
        using ControlClient client = new SupervisorFinder(context).Connect(supervisor);
        reply = client.Call("Attach", request, ControlClient.Json.AttachRequest, ControlClient.Json.AttachReply, context.AnswerTimeout);
        return client.TakeDescriptor() ?? throw new CliException(ExitCode.Failed, "the supervisor's answer came without the terminal");
    }

    /// <summary>What has become of the service, if the supervisor can be asked.</summary>
    private static string Afterwards(CliContext context, string? supervisor, string service)
    {
        try
        {
            using ControlClient client = new SupervisorFinder(context).Connect(supervisor);
            ServiceStatus? now = StatusCommand.Ask(context, client, service).Services.FirstOrDefault();
            if (now is null)
                return "";
            string reason = now.Reason is { } why ? $" ({TerminalText.Escape(why)})" : "";
            string again = now.State == "ready" ? " again" : "";
            return $"; {TerminalText.Escape(service)} is {TerminalText.Escape(now.State)}{again}{reason}";
        }
        catch (CliException)
        {
            return ", and the supervisor cannot be asked any more";
        }
    }
}
