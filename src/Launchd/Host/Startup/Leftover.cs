using Launchd.Linux.Processes;

namespace Launchd.Host.Startup;

/// <summary>A process that a supervisor has left running.</summary>
/// <param name="Process">Open, so that the number means this very process.</param>
/// <param name="Service">The name in its environment.</param>
/// <param name="Mark">The mark of its instance, from there too.</param>
/// <param name="Number">The number of its instance; 0: not known.</param>
internal sealed record Leftover(ProcessHandle Process, string Service, string Mark, long Number);

/// <summary>What became of the processes that a supervisor has left running.</summary>
/// <param name="EndedCount">So many were ended.</param>
/// <param name="Adopted">What to go on with; null: there are none any more.</param>
internal readonly record struct LeftoverOutcome(int EndedCount, Heritage? Adopted = null);
