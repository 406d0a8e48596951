using System.Runtime.InteropServices;
using Launchd.Linux.Processes;

namespace Launchd.Keeper;

/// <summary>What the keeper knows of the supervisors before the one that asks, as it stands in a message.</summary>
[StructLayout(LayoutKind.Sequential)]
internal struct KeeperHistory
{
    /// <summary>Moment of the last death, CLOCK_MONOTONIC in nanoseconds; 0: none has died.</summary>
    public long DiedAt;

    /// <summary>Descriptors that could not be held, of all supervisors together.</summary>
    public long RefusedCount;

    /// <summary>Messages that made no sense, of all supervisors together.</summary>
    public long StrangeCount;

    /// <summary>Supervisors that died within the last minute.</summary>
    public int RecentDeaths;

    /// <summary>The last one that died; 0: none has died.</summary>
    public int LastPid;

    /// <summary>Its exit code, 0 if a signal ended it.</summary>
    public int LastCode;

    /// <summary>The signal that ended it; 0: it ended by itself.</summary>
    public int LastSignal;

    /// <summary>1: the signal wrote a core dump.</summary>
    public int DumpedCore;

    /// <summary>1: no supervisor was there before.</summary>
    public int IsFirst;

    /// <summary>1: what is restored has led to several deaths already, and is not to be trusted.</summary>
    public int IsDistrusted;

    /// <summary>1: its loop stood still, so the keeper has ended it.</summary>
    public int HasHung;

    /// <summary>A <see cref="KeeperUpgradeState"/>: whether the supervisor takes another one's place of its own accord.</summary>
    public int Upgrade;

    /// <summary>How the last supervisor died.</summary>
    public readonly Reaped LastDeath => new(LastPid, LastCode, LastSignal, DumpedCore != 0);
}
