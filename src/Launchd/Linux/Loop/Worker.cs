namespace Launchd.Linux.Loop;

/// <summary>
/// The one place where threads are made. The limits of processes (RLIMIT_NPROC, pids.max) count threads too, and other processes of the
/// user can use them up at any time; so a thread that cannot be made is an answer and no exception.
/// </summary>
internal static class Worker
{
    /// <summary>Why <see cref="TryStart"/> refused, in words for people.</summary>
    public const string Refusal =
        "no thread can be started: the limit of processes and threads is reached (ulimit -u, pids.max), or memory";

    /// <summary>Starts a background thread, which does not keep the process alive. Null: the system gives none.</summary>
    /// <param name="name">Seen in /proc/PID/task/TID/comm, at most 15 bytes of it.</param>
    /// <param name="stackBytes">Address space for its stack.</param>
    /// <param name="work">An exception that leaves it ends the process: so the work itself must catch what it can explain.</param>
    public static Thread? TryStart(string name, int stackBytes, ThreadStart work)
    {
        try
        {
            Thread thread = new(work, stackBytes) { IsBackground = true, Name = name };
            thread.Start();
            return thread;
        }
        catch (Exception refused) when (refused is OutOfMemoryException or ThreadStartException)
        {
            return null;
        }
    }
}
