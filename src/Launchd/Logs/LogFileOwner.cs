using Launchd.Linux.Paths;

namespace Launchd.Logs;

/// <summary>Who gets a log file that is made, as its policy says.</summary>
/// <param name="Owner">By number.</param>
/// <param name="Problem">Why it is not whom the policy names; null: it is.</param>
internal sealed record LogFileOwner(PathOwner Owner, string? Problem)
{
    /// <summary>The policy names nobody.</summary>
    public static readonly LogFileOwner Own = new(PathOwner.Own, null);
}
