using Launchd.Client;
using Launchd.Config.Diagnostics;
using Launchd.Config.Loading;
using Launchd.Host.Listeners;
using Launchd.Host.Provisioning;
using Launchd.Host.Reporting;
using Launchd.Linux.Calls;
using Launchd.Linux.Listening;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Logs;
using Launchd.Model;

namespace Launchd.Host.Startup;

/// <summary>
/// Finds what of a valid configuration cannot be opened on this machine, or with the rights of whoever asks: for <c>check</c>. Nothing
/// is opened for longer than a call, and nothing is made.
/// </summary>
internal static class MachineCheck
{
    /// <summary>Warnings for what may be otherwise by the time the supervisor starts, errors for the rest.</summary>
    /// <param name="read">Of a configuration without errors.</param>
    public static IEnumerable<Diagnostic> Run(ConfigResult read)
    {
        SupervisorDefinition definition = read.Definition!;
        UserTable users = new(definition with { Services = [], Files = [] });
        bool isRunning = IsInUse(definition.RuntimeDirectory);
        HashSet<string> acceptedFrom = DescriptorTable.AcceptedFrom(definition);
        foreach (ListenerDefinition listener in definition.Listeners)
        {
            bool isKnown = true;
            (string, string?, string?)[] owners = [("user", listener.User, null), ("group", null, listener.Group)];
            foreach ((string key, string? user, string? group) in owners)
            {
                if (MissingOwner(users, $"sockets.{listener.Key}.{key}", user, group) is not { } missing)
                    continue;
                isKnown = false;
                yield return new Diagnostic(
                    DiagnosticSeverity.Error, DiagnosticCode.NotHere, read.Places.Of(listener.Key, key, 0), missing);
            }
            if (!isKnown)
                continue;
            ListenerRequest request = DescriptorTable.RequestFor(listener, acceptedFrom, users);
            foreach (OpenProblem problem in ListenerTrial.Run(request, looksForHolders: !isRunning))
                yield return Describe(read, listener, problem);
        }
        foreach (Diagnostic warning in PathCheck.Run(read))
            yield return warning;
        foreach (Diagnostic diagnostic in Services(read))
            yield return diagnostic;
    }

    private static IEnumerable<Diagnostic> Services(ConfigResult read)
    {
        UserTable users = new(read.Definition!);
        foreach (ServiceDefinition service in read.Definition!.Services)
        {
            if (service.Log is { } log && NotTheOwner(users, log) is (DiagnosticSeverity severity, DiagnosticCode kind, string text))
            {
                yield return new Diagnostic(
                    severity, kind, read.Places.OfService(service.Name, "log", 0), $"services.{service.Name}.{text}");
            }
            ResolvedUser user = users[service.Execution];
            if (user.Problem is { } problem)
            {
                yield return new Diagnostic(DiagnosticSeverity.Warning, DiagnosticCode.ProgramNotHere,
                    read.Places.OfService(service.Name, "user", 0), $"services.{service.Name}.user: {problem}");
                continue;
            }
            foreach (StartFault fault in StartCheck.FaultsOf(service, user))
            {
                DiagnosticCode code = fault.Key switch
                {
                    "limits" => DiagnosticCode.LimitTooHigh,
                    "environment_files" when fault.IsHarmless => DiagnosticCode.LineLeftOut,
                    _ => DiagnosticCode.ProgramNotHere,
                };
                yield return new Diagnostic(fault.IsLasting ? DiagnosticSeverity.Error : DiagnosticSeverity.Warning, code,
                    read.Places.OfService(service.Name, fault.Key, fault.Element), $"services.{service.Name}.{fault.Key}{fault.Text}");
            }
        }
        if (DescriptorNeed.WarningFor(read.Definition!) is { } need && OfNeed(read, need) is { } tooMuch)
            yield return tooMuch;
    }

    /// <summary>
    /// The warning that descriptors may run out, at the first service or else the first socket, because it belongs to all. Null: there is
    /// neither, and so nothing that could be left out.
    /// </summary>
    internal static Diagnostic? OfNeed(ConfigResult read, string need)
    {
        SupervisorDefinition definition = read.Definition!;
        if (definition.Services.IsEmpty && definition.Listeners.IsEmpty)
            return null;
        return new Diagnostic(DiagnosticSeverity.Warning, DiagnosticCode.LimitTooLow,
            definition.Services.IsEmpty ? read.Places.Of(definition.Listeners[0].Key, "listen", 0)
                : read.Places.OfService(definition.Services[0].Name, "command", 0), need);
    }

    private static (DiagnosticSeverity, DiagnosticCode, string)? NotTheOwner(UserTable users, LogPolicy log)
    {
        LogFileOwner owner = users.OwnerOf(log);
        if (owner.Problem is { } problem)
            return (DiagnosticSeverity.Warning, DiagnosticCode.ProgramNotHere, problem);
        return owner.Owner.Gid is { } group && !Identity.MayGiveTo(group)
            ? (DiagnosticSeverity.Error, DiagnosticCode.NotPermitted, $"log.group: only root and members may give a file to group {group}")
            : null;
    }

    private static Diagnostic Describe(ConfigResult read, ListenerDefinition listener, OpenProblem problem)
    {
        string path = problem.Option ?? "listen";
        OpenFailure failure = problem.Failure;
        bool isForbidden = failure.Errno == Errno.EPERM || failure.Errno == Errno.EACCES;
        return new Diagnostic(
            problem.MayPass ? DiagnosticSeverity.Warning : DiagnosticSeverity.Error,
            isForbidden ? DiagnosticCode.NotPermitted : DiagnosticCode.NotHere,
            read.Places.Of(listener.Key, path.Split('.')[0], problem.Index),
            $"sockets.{listener.Key}.{path}: {failure.Subject}: {failure.Errno.Text}", failure.Explanation);
    }

    private static string? MissingOwner(UserTable users, string what, string? user, string? group)
    {
        try
        {
            _ = users.OwnerOf(what, user, group);
            return null;
        }
        catch (StartRefusedException missing)
        {
            return missing.Message;
        }
    }

    // By the file that names the holder, not by its lock: a lock of ours, held for a moment, could keep a supervisor from starting.
    private static bool IsInUse(string directory)
    {
        string file = RuntimeDirectory.LockOf(directory);
        if (FileStatus.ReadFollow(file, out _) != Errno.None)
            return false;
        LockOwner owner = LockOwner.Of(directory);
        return owner.Supervisor == 0 || owner.IsForsaken || Directory.Exists($"/proc/{owner.Supervisor}");
    }
}
