namespace Launchd.Keeper;

/// <summary>What became of a program that was to prove itself. The numbers stand in messages and never mean anything else.</summary>
internal enum TrialOutcome
{
    /// <summary>It could go on; the text is its version.</summary>
    Proved = 0,

    /// <summary>It could not go on; the text is its reason.</summary>
    Refuses = 1,

    /// <summary>It could not be executed; the number is the error.</summary>
    NotExecuted = 2,

    /// <summary>It ended with the exit code that is the number, without a word.</summary>
    Exited = 3,

    /// <summary>It was killed by the signal that is the number, without a word.</summary>
    Killed = 4,

    /// <summary>It said nothing, or did not end, in the seconds that are the number.</summary>
    TooLate = 5,

    /// <summary>Another program is tried already, or takes the supervisor's place right now.</summary>
    Busy = 6,
}
