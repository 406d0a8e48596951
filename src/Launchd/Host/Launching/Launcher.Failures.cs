using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Provisioning;
using Launchd.Linux.Spawning;
using Launchd.Model;

namespace Launchd.Host.Launching;

/// <summary>Why there is no birth, in words for people.</summary>
internal sealed partial class Launcher
{
    // The supervisor itself opens what a child needs before its birth, so a shortage there is the supervisor's.
    private static Failure.SpawnFailed Refuse(ServiceDefinition service, string stage, Errno errno, string text) =>
        new(stage, errno.Value, $"cannot start {service.Name}: {text}") { IsShortage = errno.IsShortage };

    /// <summary>The text of a failure without the words that it cannot be started, for a command beside an instance.</summary>
    public static string ReasonOf(ServiceName service, Failure.SpawnFailed failure)
    {
        string subject = $"cannot start {service}: ";
        return failure.Text.StartsWith(subject, StringComparison.Ordinal) ? failure.Text[subject.Length..] : failure.Text;
    }

    private static Failure.SpawnFailed Explain(ServiceDefinition service, SpawnRequest request, SpawnFailure failure) =>
        new(Words(failure.Stage), failure.Errno.Value, $"cannot start {service.Name}: {Describe(service, request, failure)}")
        {
            // Past that stage the child's own limits decide, and they will be the same the next time.
            IsShortage = failure.Stage == SpawnStage.Clone && (failure.Errno.IsShortage || failure.Errno == Errno.EAGAIN),
        };

    private static string Describe(ServiceDefinition service, SpawnRequest request, SpawnFailure failure)
    {
        Execution execution = service.Execution;
        return failure.Stage switch
        {
            SpawnStage.Exec => $"exec \"{request.Arguments[0]}\": {ProgramFault.Explain(request, failure.Errno)}",
            SpawnStage.WorkingDirectory => $"working directory {request.WorkingDirectory}: {failure.Errno.Text}"
                + (failure.Errno == Errno.EACCES && execution.User is { } who ? $" (it is entered with the rights of \"{who}\")" : ""),
            SpawnStage.User or SpawnStage.Group or SpawnStage.Groups or SpawnStage.Verify =>
                $"user \"{execution.User ?? execution.Group}\": {failure.Errno.Text}"
                + (failure.Errno == Errno.EPERM ? " (changing users needs root)" : ""),
            SpawnStage.Limits => $"limits: {failure.Errno.Text}"
                + (LimitCeiling.FaultOf(request.Limits) is { } ceiling ? $" ({ceiling})"
                    : failure.Errno == Errno.EPERM ? " (raising a hard limit needs root)" : ""),
            SpawnStage.Nice => $"nice {execution.Nice}: {failure.Errno.Text}"
                + (failure.Errno == Errno.EACCES ? " (a value below the present one needs root)" : ""),
            SpawnStage.PinnedPaths => $"{string.Join(", ", request.PinnedPaths.Select(p => p.Path))} cannot be made a mount point: "
                + (failure.Errno == Errno.ESTALE ? "something else lies there than the supervisor has made (remove it; where the directory"
                    + " is root's alone, nobody else can put anything there)" : failure.Errno.Text)
                + (failure.Errno == Errno.EPERM ? " (pin_path needs CAP_SYS_ADMIN)" : ""),
            _ => $"{Words(failure.Stage)}: {failure.Errno.Text}",
        };
    }

    private static string Words(SpawnStage stage) => stage switch
    {
        SpawnStage.OomScore => "oom score",
        SpawnStage.PinnedPaths => "pinned paths",
        SpawnStage.WorkingDirectory => "working directory",
        SpawnStage.ParentDeath => "parent death signal",
        SpawnStage.NoNewPrivileges => "no new privileges",
        _ => stage.ToString().ToLowerInvariant(),
    };
}
