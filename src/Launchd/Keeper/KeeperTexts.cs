using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Processes;

namespace Launchd.Keeper;

/// <summary>
/// What the keeper says on standard error. It does not know the format of the supervisor's log, which is in the configuration.
/// </summary>
internal static class KeeperTexts
{
    private const long Millisecond = 1_000_000;

    /// <summary>A supervisor has died, and what becomes of it.</summary>
    /// <param name="ended">How it ended; its pid is 0 if it could not be started.</param>
    /// <param name="refused">Why it could not be started.</param>
    /// <param name="deaths">With this one.</param>
    /// <param name="now">When it died.</param>
    /// <param name="heldCount">How many descriptors are held.</param>
    public static void Died(in Reaped ended, Errno refused, KeeperDeaths deaths, long now, int heldCount)
    {
        KeeperLine line = new(stackalloc byte[KeeperLine.MostBytes]);
        AddEnd(ref line, "the supervisor"u8, ended, refused);
        line.Add("; "u8);
        if (deaths.IsGivenUp)
        {
            line.Add("that was the "u8);
            line.AddOrdinal(deaths.Recent(now));
            line.Add(" time within a minute, so it is not started any more. "u8);
            AddWhatIsLeft(ref line, heldCount);
            line.Write();
            return;
        }
        if (!deaths.Counts)
        {
            line.Add("started anew"u8);
            line.Write();
            return;
        }
        if (deaths.Pause == 0)
        {
            line.Add("started anew ("u8);
        }
        else
        {
            line.Add("it is started anew in "u8);
            line.Add(deaths.Pause / Millisecond);
            line.Add(" ms ("u8);
        }
        line.AddOrdinal(deaths.Recent(now));
        line.Add(" time within a minute)"u8);
        if (deaths.IsDistrusted(now))
            line.Add(", and does not trust what was recorded"u8);
        line.Write();
    }

    /// <summary>The loop of a supervisor stands still, and it is sent SIGABRT.</summary>
    /// <param name="pid">Of the supervisor.</param>
    /// <param name="since">For how long, in nanoseconds.</param>
    public static void Hangs(int pid, long since)
    {
        KeeperLine line = new(stackalloc byte[KeeperLine.MostBytes]);
        line.Add("the supervisor (pid "u8);
        line.Add(pid);
        line.Add(") hangs: its loop has stood still for "u8);
        line.Add(since / (1000 * Millisecond));
        line.Add(" s; it gets SIGABRT, and another goes on in its place"u8);
        line.Write();
    }

    /// <summary>A supervisor that hung has not ended of SIGABRT.</summary>
    public static void IsDeaf(int pid)
    {
        KeeperLine line = new(stackalloc byte[KeeperLine.MostBytes]);
        line.Add("the supervisor (pid "u8);
        line.Add(pid);
        line.Add(") has not ended of SIGABRT; it gets SIGKILL"u8);
        line.Write();
    }

    /// <summary>A supervisor that has ended cannot be reaped.</summary>
    public static void IsHeld(int pid)
    {
        KeeperLine line = new(stackalloc byte[KeeperLine.MostBytes]);
        line.Add("the supervisor (pid "u8);
        line.Add(pid);
        line.Add(") has ended, and a thread of it still waits for a file system that does not answer; it is left to that"u8);
        line.Write();
    }

    /// <summary>A supervisor of a new program did not come to serve.</summary>
    /// <param name="ended">As for <see cref="Died"/>.</param>
    /// <param name="refused">As for <see cref="Died"/>.</param>
    /// <param name="goesBack">The former program goes on.</param>
    public static void NotUpgraded(in Reaped ended, Errno refused, bool goesBack)
    {
        KeeperLine line = new(stackalloc byte[KeeperLine.MostBytes]);
        AddEnd(ref line, "the supervisor of the new program"u8, ended, refused);
        line.Add(goesBack ? " before it served; the former program goes on"u8 : " before it served; it is started once more"u8);
        line.Write();
    }

    /// <summary>The keeper runs the new program.</summary>
    public static void Renewed()
    {
        KeeperLine line = new(stackalloc byte[KeeperLine.MostBytes]);
        line.Add("goes on as the new program"u8);
        line.Write();
    }

    /// <summary>The keeper stays the former program; the supervisor is of the new one.</summary>
    public static void NotRenewed(Errno refused)
    {
        KeeperLine line = new(stackalloc byte[KeeperLine.MostBytes]);
        line.Add(refused == Errno.EBUSY
            ? "stays the former program, because something that it would lose does not end; the supervisor is of the new one"u8
            : "cannot execute the new program, which the supervisor is, and goes on as the former one (error "u8);
        if (refused != Errno.EBUSY)
        {
            line.Add(refused.Value);
            line.Add(")"u8);
        }
        line.Write();
    }

    /// <summary>There is no supervisor, and nobody has done anything about it for a minute.</summary>
    public static void StillNone(int heldCount)
    {
        KeeperLine line = new(stackalloc byte[KeeperLine.MostBytes]);
        line.Add("there is no supervisor, because it died too often. "u8);
        AddWhatIsLeft(ref line, heldCount);
        line.Write();
    }

    /// <summary>The services are ended without a supervisor.</summary>
    public static void Ends()
    {
        KeeperLine line = new(stackalloc byte[KeeperLine.MostBytes]);
        line.Add("ends all services, without a supervisor and without their order"u8);
        line.Write();
    }

    private static void AddEnd(ref KeeperLine line, scoped ReadOnlySpan<byte> who, in Reaped ended, Errno refused)
    {
        line.Add(who);
        if (ended.Pid == 0)
        {
            line.Add(" could not be started (error "u8);
            line.Add(refused.Value);
            line.Add(")"u8);
            return;
        }
        line.Add(" (pid "u8);
        line.Add(ended.Pid);
        line.Add(") "u8);
        line.Add(ended);
    }

    private static void AddWhatIsLeft(ref KeeperLine line, int heldCount)
    {
        line.Add("Its services run on, and "u8);
        line.Add(heldCount);
        line.Add(heldCount == 1 ? " descriptor is held"u8 : " descriptors are held"u8);
        line.Add(": SIGHUP to "u8);
        line.Add(Libc.getpid());
        line.Add(" starts it once more, SIGTERM ends all"u8);
    }
}
