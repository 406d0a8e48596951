namespace Launchd.Client;

/// <summary>Why something was refused; the first ten are the supervisor's answers, named as on the wire.</summary>
public enum LaunchdError
{
    /// <summary>An answer that this version of the library does not know; its name stands in the message.</summary>
    Other,

    /// <summary>The configuration has no service of that name.</summary>
    NoSuchService,

    /// <summary>Nothing of that name may be had; a similar name may stand in <see cref="LaunchdException.Detail"/>.</summary>
    NoSuchDescriptor,

    /// <summary>The configuration does not allow it; <see cref="LaunchdException.Detail"/> is the rule that would.</summary>
    Denied,

    /// <summary>The owner has closed what it published.</summary>
    Stale,

    /// <summary>The owner is not there, or has not published it yet.</summary>
    NotReady,

    /// <summary>The supervisor tried, and the kernel refused; <see cref="LaunchdException.Detail"/> is the cause.</summary>
    NotPermittedByKernel,

    /// <summary>A limit was reached; <see cref="LaunchdException.Detail"/> names it.</summary>
    LimitReached,

    /// <summary>A parameter was wrong; <see cref="LaunchdException.Detail"/> names it.</summary>
    BadRequest,

    /// <summary>The supervisor is ending.</summary>
    ShuttingDown,

    /// <summary>The supervisor is older than this library and does not know the method.</summary>
    NotImplemented,

    /// <summary>There is no channel: the program was not started by launchd-cs, or the channel is for another process.</summary>
    NoChannel,

    /// <summary>The supervisor has closed the channel.</summary>
    Disconnected,

    /// <summary>The answer could not be understood.</summary>
    BadAnswer,

    /// <summary>A variable of the environment is not what it has to be; the message names it.</summary>
    BadEnvironment,

    /// <summary>The descriptor is something else than it was asked to be used as.</summary>
    WrongKind,

    /// <summary>Bytes or descriptors of a message were lost on the way; what did come is closed.</summary>
    Truncated,

    /// <summary>The kernel refused; <see cref="LaunchdException.ErrorNumber"/> says why.</summary>
    Kernel,

    /// <summary>The predecessor has lost its patience and kept what it was handing over.</summary>
    TakenBack,
}
