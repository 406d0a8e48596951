using System.Collections.Immutable;
using Launchd.Host.Provisioning;
using Launchd.Host.Reporting;
using Launchd.Linux.Listening;

namespace Launchd.Host.Listeners;

// Of the paths of listeners, and the symbolic links that lead to them.
internal sealed partial class ListenerGuard
{
    /// <summary>Something happened at the path of a listener, or at a link to it.</summary>
    public void PathHappened(Listener listener)
    {
        if (listener.IsConfigured)
            Repair(listener, onlyPath: true);
    }

    /// <summary>Adds to a look what is found at the path. Null: it is as it was, for all that the kernel has told.</summary>
    private static Func<ListenerLook, ListenerLook>? MendingPath(Listener listener)
    {
        // A path that leads nowhere because its intake is stopped is our doing.
        if (!listener.IsConfigured || listener.Intake is not null
            || listener.Path is not { } kept || (kept.IsWatched && !listener.Watch.IsPathInDoubt))
        {
            return null;
        }
        listener.Watch.IsPathInDoubt = false;
        HeldSocket socket = listener.Socket;
        return seen =>
        {
            PathFinding path = PathRepair.Mend(kept.Owned, kept.Spare, socket.Request);
            PathFinding worst = PathFinding.Well;
            ImmutableArray<OwnedPath>.Builder aliases = ImmutableArray.CreateBuilder<OwnedPath>(kept.Aliases.Length);
            foreach (OwnedPath alias in kept.Aliases)
            {
                PathFinding found = PathRepair.MendAlias(alias, kept.Owned.Path, socket.Request.DirectoryMode, out OwnedPath next);
                aliases.Add(next);
                worst = worst.Fault == PathFault.None || !found.IsMended ? found : worst;
            }
            return seen with { Path = path, Alias = worst, Aliases = aliases.MoveToImmutable() };
        };
    }

    /// <summary>
    /// Whether what was found still matters. What was put back at a path whose listener is leaving meanwhile is taken away again.
    /// </summary>
    private static bool IsToBeKept(Listener listener, ListenerLook seen)
    {
        if (listener is { IsConfigured: true, Intake: null } || seen.Path is null)
            return listener.IsConfigured;
        if (seen.Path is { Fault: PathFault.Removed or PathFault.Replaced, IsMended: true } && listener.Opened.Path is { } path)
            _ = UnixPath.RemoveIfOurs(path, out _);
        return listener.IsConfigured;
    }

    private void TellOfPath(Listener listener, ListenerLook seen)
    {
        if (seen is not { Path: { } path, Alias: { } alias })
            return;
        if (path is { IsMended: true, Words: { } fault })
            Tell(listener, fault, path.Fault == PathFault.Changed ? "put back" : "linked back", LeastPause);
        if (alias is { IsMended: true, Words: { } words })
            Tell(listener, words, "linked back", LeastPause);
        string? taken = path.Fault == PathFault.Taken
            ? $"{listener.Opened.Path!.Path}: {path.Words}"
            : alias.Fault == PathFault.Taken ? alias.Words : null;
        if (taken is not null && taken != listener.Watch.PathTaken)
        {
            counters.Count("listener-paths-taken");
            journal.Add(new ListenerPathTaken(listener.Socket.Key, listener.Opened.Address, taken));
            SupervisorLog.PathTaken(logger, listener.Socket.Key, listener.Opened.Address, taken);
        }
        listener.Watch.PathTaken = taken;
        if (listener.Path is { } kept && !seen.Aliases.SequenceEqual(kept.Aliases))
        {
            // The names are the same, and watched as they were.
            descriptors.PutAliases(listener.Socket, seen.Aliases);
            listener.Path = kept with { Aliases = seen.Aliases };
        }
        // A directory that was made again, or came back, is not watched yet.
        if (path.IsMended && listener.Path is { IsLost: true })
            paths.Adopt();
    }
}
