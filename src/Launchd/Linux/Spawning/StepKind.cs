namespace Launchd.Linux.Spawning;

/// <summary>What a step does beside a plain system call.</summary>
internal enum StepKind
{
    /// <summary>The call; a negative result fails the plan.</summary>
    Call,

    /// <summary>The call; a refusal is accepted.</summary>
    TryCall,

    /// <summary>The call, whose result, or its negative error number, is put at A4.</summary>
    CallKeeping,

    /// <summary>Go on with the step of number A0.</summary>
    Repeat,

    /// <summary>
    /// Close what lies from A0 to A1 with one call, and where that is refused, up to A2 one by one (number A3): descriptors above that were
    /// opened by the supervisor itself, and are all close-on-exec.
    /// </summary>
    CloseRange,

    /// <summary>Open (the step's number) the file A0, write (number A3) A2 bytes from A1, close it (number A4).</summary>
    WriteFile,

    /// <summary>Fail with EPERM unless real, effective and saved id (read by <see cref="Step.Number"/>) are A0.</summary>
    VerifyIds,

    /// <summary>Fail with ESRCH unless the parent's pid (read by the step's number) is A0.</summary>
    VerifyParent,

    /// <summary>Fail with ESTALE unless the result of statx(2) at A0 tells the inode and the device that the words at A1 are.</summary>
    VerifyFile,

    /// <summary>Write the own pid's digits to A0, with a NUL behind.</summary>
    OwnPid,

    /// <summary>
    /// Write the inode of the own pidfd to A0 as digits, with a NUL behind; numbers of pidfd_open, fstat and close in A1 to A3.
    /// </summary>
    OwnPidfd,

    /// <summary>execve each of the NULL-terminated paths A0 with arguments A1 and environment A2.</summary>
    Exec,
}
