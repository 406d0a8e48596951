using Launchd.Client;
using Launchd.Host.Keeping;
using Launchd.Host.Reporting;
using Launchd.Linux.Memory;

namespace Launchd.Host.Startup;

/// <summary>
/// Where the supervisor's state is written down: in a file of the runtime directory, in memory, which outlives the keeper too; else, where
/// there is a keeper, in a file without a name that this holds.
/// </summary>
internal static class Records
{
    /// <summary>
    /// Those of the supervisor before this one, or new ones, for the caller. Null: there is no place for them, or no memory, which is told.
    /// </summary>
    public static RecordLog? Open(HostParts parts)
    {
        if (parts.Heritage?.TakeLog() is { } records)
            return records;
        if (!parts.KeepsState)
            return null;
        if (Make(parts, out Errno refused) is { } named)
            return named;
        if (parts.Keeper is null)
        {
            SupervisorLog.WithoutState(parts.Logger, WhyNot(refused));
            return null;
        }
        if (RecordLog.Create(out refused) is { } created)
            return created;
        SupervisorLog.Hindered(parts.Logger,
            $"the supervisor's state cannot be written down ({refused.Text}): if it dies, the next one starts afresh");
        return null;
    }

    /// <summary>Sees to it that the state has its name in the runtime directory, where it can have one.</summary>
    public static void Name(StateWriter state, HostParts parts)
    {
        if (!state.HasName)
        {
            if (Make(parts, out Errno refused) is { } named && (refused = state.GoOnIn(named)) != Errno.None)
                parts.Directory.State.Remove();
            if (refused != Errno.None)
            {
                SupervisorLog.WithoutState(parts.Logger, WhyNot(refused));
                return;
            }
        }
        state.RemoveFile = parts.Directory.State.Remove;
        state.NoteOwner(parts.Directory.Mark);
    }

    /// <summary>Lasts as long as the process: a child whose birth hangs may still write into it.</summary>
    public static SharedSlots? OpenBirthSlots(HostParts parts, KeeperLink keeper)
    {
        if (SharedSlots.Create(out Errno refused) is not { } slots)
        {
            SupervisorLog.Hindered(parts.Logger,
                $"births cannot be written down ({refused.Text}): if the supervisor dies in one, the next one does not know the child");
            return null;
        }
        _ = keeper.Store(StateWriter.BirthsName, slots.File);
        return slots;
    }

    private static RecordLog? Make(HostParts parts, out Errno refused) =>
        parts.Directory.State.Make(out refused) is { } file ? RecordLog.Begin(file, out refused) : null;

    private static string WhyNot(Errno refused) =>
        refused == Errno.EOPNOTSUPP ? "neither the runtime directory nor /run, XDG_RUNTIME_DIR or /dev/shm is in memory" : refused.Text;
}
