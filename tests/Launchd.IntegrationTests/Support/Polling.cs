using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Loop;

namespace Launchd.IntegrationTests.Support;

/// <summary>poll(2) of one descriptor. The runtime interrupts its threads by signals, which end a poll: then it is begun again.</summary>
internal static class Polling
{
    /// <param name="number">An open descriptor.</param>
    /// <param name="events">What is awaited; 0: an error or a hang-up.</param>
    /// <param name="patience">How long at most.</param>
    /// <returns>What came; 0: nothing.</returns>
    public static int Await(int number, int events, TimeSpan patience)
    {
        long end = Clock.MonotonicNanoseconds + (long)(patience.TotalMilliseconds * 1_000_000);
        while (true)
        {
            Libc.poll_entry asked = new() { fd = number, events = (short)events };
            long rest = Math.Max(0, end - Clock.MonotonicNanoseconds);
            if (Libc.poll(ref asked, 1, (int)((rest + 999_999) / 1_000_000)) >= 0)
                return asked.revents;
            Xunit.Assert.Equal(Errno.EINTR, Errno.Last);
        }
    }
}
