namespace Launchd.Keeper;

/// <summary>
/// What a message between the supervisor and its keeper says. The number is the first byte of the message and never means anything else
/// in a later version: while a program is replaced, one side may be older.
/// </summary>
internal enum KeeperMessageKind : byte
{
    /// <summary>No message has it.</summary>
    None = 0,

    /// <summary>
    /// Supervisor: hold this descriptor, which comes along, under this name. One that has the name is closed. If there is no room, the
    /// keeper says <see cref="Full"/>; otherwise it does not answer.
    /// </summary>
    Store = 1,

    /// <summary>Supervisor: close what has this name. Not answered, whether there is one or not.</summary>
    Drop = 2,

    /// <summary>
    /// Supervisor: what is there? The answer is a <see cref="Held"/> for each descriptor, in no order, and a <see cref="RestoreEnd"/>.
    /// </summary>
    Restore = 3,

    /// <summary>Supervisor: which child has ended? The answer is <see cref="Ended"/> or <see cref="NoneEnded"/>.</summary>
    Peek = 4,

    /// <summary>
    /// Supervisor: the end of this child has been seen to, reap it. Not answered. A number that is no ended child of the keeper changes
    /// nothing.
    /// </summary>
    Reap = 5,

    /// <summary>Supervisor: it serves from now on, so that its end is no failed start.</summary>
    Running = 6,

    /// <summary>Supervisor: it is about to end and nothing is to be started any more; the keeper then ends with the same code.</summary>
    Ending = 7,

    /// <summary>
    /// Supervisor: as <see cref="Drop"/>, for a socket of whose stream the end was read: nothing is left in it whose close could take long.
    /// </summary>
    DropDrained = 8,

    /// <summary>
    /// Supervisor: its configuration wants no keeper, and it ends now without having done anything. Counts from the first one alone: the
    /// keeper's process then goes on as the supervisor.
    /// </summary>
    NotWanted = 16,

    /// <summary>
    /// Supervisor: close the listeners that the service manager had stored and has passed to the keeper. Not answered.
    /// <see cref="Running"/> says the same.
    /// </summary>
    LetGo = 17,

    /// <summary>
    /// Supervisor: its timer of turns, which comes along (<see cref="HangWatch"/>). One that was sent before is closed. Not answered.
    /// </summary>
    Turns = 18,

    /// <summary>
    /// Supervisor: its bell (<see cref="Linux.Loop.Bell"/>), which comes along. From now on messages are read when it has rung, and when
    /// the supervisor has ended; before, and without it, as they come. Not answered.
    /// </summary>
    Bell = 19,

    /// <summary>
    /// Supervisor: may this program, which comes along, take its place? The keeper has it prove itself and says <see cref="Tried"/>.
    /// </summary>
    Try = 24,

    /// <summary>
    /// Supervisor: its state is written down and it ends at once, so that the program that has proved itself takes its place.
    /// </summary>
    HandOver = 25,

    /// <summary>A program that is tried: it could go on, and this is its version.</summary>
    Proved = 26,

    /// <summary>A program that is tried: it could not go on, and this is why.</summary>
    Refuses = 27,

    /// <summary>Keeper: a copy of a held descriptor, which comes along, and its name.</summary>
    Held = 64,

    /// <summary>Keeper: that was all that is held; and what happened to the supervisors before.</summary>
    RestoreEnd = 65,

    /// <summary>Keeper: a child that has ended, and how. It stays a zombie until <see cref="Reap"/>.</summary>
    Ended = 66,

    /// <summary>Keeper: no child has ended that was not reaped.</summary>
    NoneEnded = 67,

    /// <summary>Keeper, unasked: a child has ended. Not said again before a <see cref="Peek"/> was answered with none.</summary>
    ChildEnded = 68,

    /// <summary>Keeper, unasked: descriptors could not be held, and how many of this supervisor's so far.</summary>
    Full = 69,

    /// <summary>Keeper: what became of the program that was to be tried.</summary>
    Tried = 80,
}
