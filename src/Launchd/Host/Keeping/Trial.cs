using Launchd.Client;
using Launchd.Keeper;
using Launchd.Model;

namespace Launchd.Host.Keeping;

/// <summary>What became of a program that was to prove that it could go on.</summary>
/// <param name="Outcome">In short.</param>
/// <param name="Number">An error, an exit code, a signal or seconds, as the outcome says.</param>
/// <param name="Text">Its version, or its own reason.</param>
internal sealed record Trial(TrialOutcome Outcome, int Number, string Text)
{
    /// <summary>Why it does not take the supervisor's place, as a clause whose subject is the program; null: it can.</summary>
    public string? WhyNot => Outcome switch
    {
        TrialOutcome.Proved => null,
        TrialOutcome.Refuses => $"it cannot go on where this supervisor is: {Text}",
        TrialOutcome.NotExecuted when Number == Errno.ETXTBSY.Value => "it is being written: try again when its copy is complete",
        TrialOutcome.NotExecuted => $"it cannot be executed: {new Errno(Number).Text}",
        TrialOutcome.Exited => $"it ended with code {Number} and did not prove that it could go on: is it a launchd-cs with 'upgrade'?",
        TrialOutcome.Killed => $"it was killed by {new SignalNumber(Number)} before it had proved that it could go on",
        TrialOutcome.TooLate => $"it did not prove within {Number} s that it could go on",
        TrialOutcome.Busy => "the keeper tries another program already; try again when that is over",
        _ => "the keeper says something about it that this supervisor does not know",
    };
}
