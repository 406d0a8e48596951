using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Launchd.Client.Interop;

namespace Launchd.Client;

/// <summary>What a program tells: sd_notify(3), one datagram each, and the barrier that waits until they were read.</summary>
public sealed partial class LaunchdClient
{
    // The supervisor would cut a longer text anyway.
    private const int MostStatusLength = 1_024;

    /// <summary>The program serves: services and operators that waited for it go on. Also ends a reload.</summary>
    /// <param name="status">A line for people; null leaves the former one.</param>
    /// <returns>Whether somebody was told: false without a supervisor.</returns>
    public bool NotifyReady(string? status = null) =>
        Notify(status is null ? "READY=1" : $"READY=1\nSTATUS={OneLine(status)}");

    /// <summary>A line for people, shown by <c>status</c>; an empty one clears it. Longer than 1,024 characters is cut.</summary>
    /// <param name="text">Control characters become blanks.</param>
    /// <returns>Whether somebody was told.</returns>
    public bool NotifyStatus(string text) => Notify("STATUS=" + OneLine(text));

    /// <summary>The program begins to end.</summary>
    /// <returns>Whether somebody was told.</returns>
    public bool NotifyStopping() => Notify("STOPPING=1");

    /// <summary>The program begins to read its configuration again; <see cref="NotifyReady"/> ends that.</summary>
    /// <returns>Whether somebody was told.</returns>
    public bool NotifyReloading() =>
        Notify(string.Create(CultureInfo.InvariantCulture, $"RELOADING=1\nMONOTONIC_USEC={MonotonicClock.Microseconds()}"));

    /// <summary>
    /// The program lives; see <see cref="WatchdogPeriod"/>. Call it from where the work is done, not from a thread apart.
    /// </summary>
    /// <returns>Whether somebody was told.</returns>
    public bool NotifyWatchdog() => Notify("WATCHDOG=1");

    /// <summary>The program knows itself broken: it is treated as if it had been silent too long.</summary>
    /// <returns>Whether somebody was told.</returns>
    public bool NotifyBroken() => Notify("WATCHDOG=trigger");

    /// <summary>More time for what is under way: start, stop, or the watchdog. Counted from now; never shortens.</summary>
    /// <param name="time">More than zero.</param>
    /// <returns>Whether somebody was told.</returns>
    public bool ExtendTimeout(TimeSpan time)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(time, TimeSpan.Zero);
        return Notify(string.Create(CultureInfo.InvariantCulture, $"EXTEND_TIMEOUT_USEC={(long)time.TotalMicroseconds}"));
    }

    /// <summary>Any notification: lines of <c>KEY=VALUE</c>, at most 4,096 bytes.</summary>
    /// <param name="lines">As in sd_notify(3).</param>
    /// <param name="descriptors">Borrowed; at most 253.</param>
    /// <returns>Whether somebody was told: false without a supervisor, or when it does not read any more.</returns>
    /// <exception cref="LaunchdException">The kernel refused; EAGAIN: the supervisor has not read for five seconds.</exception>
    public bool Notify(string lines, params ReadOnlySpan<SafeHandle> descriptors)
    {
        ArgumentNullException.ThrowIfNull(lines);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(descriptors.Length, DescriptorSocket.MostDescriptors);
        return _notifier is not null && _notifier.Send(lines, descriptors);
    }

    /// <summary>
    /// Waits until the supervisor has read every notification that was sent before. A program that ends right after one needs it.
    /// </summary>
    /// <param name="cancellation">Ends the waiting; a supervisor that lives answers within milliseconds.</param>
    /// <returns>False without a supervisor.</returns>
    public async Task<bool> BarrierAsync(CancellationToken cancellation = default)
    {
        if (_notifier is null)
            return false;
        (FileDescriptor reading, FileDescriptor writing) = Pipe();
        using (reading)
        {
            using (writing)
            {
                if (!_notifier.Send("BARRIER=1", writing))
                    return false;
            }
            // The supervisor closes the last writing end when it has read all notifications before this one.
            await DescriptorPoller.HungUp(reading, cancellation).ConfigureAwait(false);
        }
        return true;
    }

    /// <summary>How many clients are still served, shown while the program drains.</summary>
    /// <param name="remaining">0 and more.</param>
    /// <param name="cancellation">See <see cref="RequestAsync"/>.</param>
    /// <exception cref="LaunchdException">The supervisor's refusal, or <see cref="LaunchdError.NoChannel"/>.</exception>
    public Task ReportDrainAsync(int remaining, CancellationToken cancellation = default)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(remaining);
        return CallAsync("DrainProgress", json => json.WriteNumber("remaining", remaining), [], cancellation);
    }

    private static unsafe (FileDescriptor Reading, FileDescriptor Writing) Pipe()
    {
        int* ends = stackalloc int[2];
        return ClientLibc.pipe2(ends, ClientLibc.O_CLOEXEC) == 0
            ? (new FileDescriptor(ends[0]), new FileDescriptor(ends[1]))
            : throw LaunchdException.Kernel("pipe2", Errno.Last);
    }

    // The end of a line would begin another key.
    private static string OneLine(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var line = new StringBuilder(Math.Min(text.Length, MostStatusLength));
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (line.Length + rune.Utf16SequenceLength > MostStatusLength)
                break;
            _ = line.Append(Rune.IsControl(rune) ? " " : rune.ToString());
        }
        return line.ToString();
    }

    private async Task CallAsync(
        string method, Action<Utf8JsonWriter>? parameters, SafeHandle[] descriptors, CancellationToken cancellation)
    {
        using Channel.ChannelAnswer answer =
            await Channel().CallAsync(method, parameters, descriptors, subscribes: false, cancellation).ConfigureAwait(false);
    }
}
