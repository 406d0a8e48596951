using Launchd.Interop;

namespace Launchd.Linux.Processes;

/// <summary>
/// Processes that are about to end, as after SIGKILL: one closes its files before its children have another parent, and threads of it may
/// still have them open when the first one has ended.
/// </summary>
internal static class EndingProcess
{
    /// <summary>A close may take as long as the file system of a stranger likes.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(10);

    /// <summary>Waits until a process has ended that is ending. A number that is another's by now means one that is not.</summary>
    /// <param name="pid">0: none.</param>
    /// <returns>Whether it was waited for, and has ended.</returns>
    public static bool Await(int pid)
    {
        using ProcessHandle? process = pid > 0 ? ProcessHandle.TryOpen(pid) : null;
        bool isEnding = process is { HasDescriptor: true } && ProcessFacts.Read(pid) is { HasEnded: false } facts
            && (facts.IsEnding || facts.State == 'Z');
        if (!isEnding)
            return false;
        Libc.poll_entry end = new() { fd = process!.Descriptor.Number, events = Libc.POLLIN };
        return Libc.poll(ref end, 1, (int)Patience.TotalMilliseconds) > 0;
    }
}
