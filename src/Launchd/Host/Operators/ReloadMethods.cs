using Launchd.Config.Comparing;
using Launchd.Control;
using Launchd.Host.Reloading;
using Launchd.Model;

namespace Launchd.Host.Operators;

/// <summary>
/// The control methods Reload and Plan. The answer to Reload lists the changes and what became of every service concerned. Called with
/// <c>more</c>, the changes are answered first, as soon as they hold, and then the progress.
/// </summary>
internal static class ReloadMethods
{
    public static void Reload(Reloads reloads, ControlMethods methods, ControlConnection from, ControlCall call, ReloadRequest request)
    {
        reloads.Ask(new ReloadCaller(refusal => Refuse(from, refusal), difference =>
        {
            ReloadReply reply = ToReply(difference);
            if (from.IsClosed)
                return null;
            if (difference.IsEmpty || !request.Wait)
            {
                from.Answer(reply with { Results = [] }, ControlJson.Default.ReloadReply);
                return null;
            }
            if (call.More)
                from.Continue(reply, ControlJson.Default.ReloadReply);
            HashSet<ServiceName> services = [.. difference.Changes.Where(c => c.Table == "services").Select(c => new ServiceName(c.Name))];
            return methods.Await(
                from, call.More, services, results => from.Answer(reply with { Results = results }, ControlJson.Default.ReloadReply));
        }));
    }

    public static void Plan(Reloads reloads, ControlConnection from, PlanRequest request)
    {
        if (request.File is { } file && (!file.StartsWith('/') || file.Contains('\0')))
        {
            from.Refuse(ControlNames.InvalidParameter, new ErrorDetail { Parameter = "file", Text = "the file must be an absolute path" });
            return;
        }
        if (request.File is { } other && other != reloads.FilePath && !from.Peer.May(ControlRights.OtherFiles))
        {
            from.Refuse(ControlNames.NotPermitted,
                new ErrorDetail { Parameter = "file", Text = ControlRights.Refusal("name another file") });
            return;
        }
        reloads.Plan(
            new ReloadCaller(refusal => Refuse(from, refusal), difference =>
            {
                from.Answer(ToReply(difference), ControlJson.Default.ReloadReply);
                return null;
            }),
            request.File);
    }

    private static void Refuse(ControlConnection from, ReloadRefusal refusal)
    {
        (string error, string text) = refusal switch
        {
            { Diagnostics: not null } when !from.Peer.May(ControlRights.TextOfFiles) =>
                (ControlNames.BadConfiguration, $"the configuration is wrong, nothing was changed: {refusal.Reason}; "
                    + "'launchd-cs check' says which to everybody who can read the file"),
            { Diagnostics: { } diagnostics } =>
                (ControlNames.BadConfiguration, $"the configuration is wrong, nothing was changed\n{diagnostics}{refusal.Reason}"),
            { Code: ExitCode.TimedOut } => (ControlNames.LimitReached, refusal.Reason),
            _ => (ControlNames.ReloadRefused, $"not reloaded, nothing was changed: {refusal.Reason}"),
        };
        from.Refuse(error, new ErrorDetail { Text = text });
    }

    private static ReloadReply ToReply(DefinitionDifference difference) => new()
    {
        Changes = [.. difference.Changes.Select(c => new ReloadChange(c.Path, Word(c.Kind), Word(c.Effect), c.Source,
            [.. c.Keys.Select(k => new ReloadKey(k.Key, k.From, k.To))]))],
        UnchangedCount = difference.UnchangedCount,
    };

    private static string Word(ChangeKind kind) => kind switch
    {
        ChangeKind.Added => "added",
        ChangeKind.Removed => "removed",
        _ => "changed",
    };

    private static string Word(ChangeEffect effect) => effect switch
    {
        ChangeEffect.Starts => "starts",
        ChangeEffect.StaysStopped => "stays-stopped",
        ChangeEffect.Stops => "stops",
        ChangeEffect.NewGeneration => "new-generation",
        ChangeEffect.Scales => "scales",
        ChangeEffect.InPlace => "in-place",
        ChangeEffect.Opens => "opens",
        ChangeEffect.OpensAnew => "opens-anew",
        ChangeEffect.TakesOver => "takes-over",
        ChangeEffect.Closes => "closes",
        _ => "refused",
    };
}
