using Launchd.Client;
using Launchd.Control;
using Launchd.Core.Slots;
using Launchd.Core;
using Launchd.Host.Channel;
using Launchd.Host.Instances;
using Launchd.Host.Keeping;
using Launchd.Host.Listeners;
using Launchd.Host.Loop;
using Launchd.Host.Reporting;
using Launchd.Keeper;
using Launchd.Model;

namespace Launchd.Host.Startup;

/// <summary>
/// Proves that this program could go on where a supervisor of another version is: reads all that a restart would read, and does nothing
/// else. The supervisor serves on meanwhile, so that what it holds may be other things than what it has written down a moment later: then
/// all of it is read again.
/// </summary>
internal static class Prover
{
    /// <summary>A busy supervisor changes something every few milliseconds.</summary>
    private const int MostAttempts = 20;

    /// <summary>The whole life of such a process.</summary>
    public static int Run()
    {
        using KeeperLink? keeper = KeeperLink.FromEnvironment();
        if (keeper is null)
        {
            Console.Error.WriteLine(
                $"launchd-cs: {SupervisorStart.Trial} is what a keeper starts before an upgrade: see 'launchd-cs upgrade --help'");
            return (int)ExitCode.Usage;
        }
        // Every descriptor that is held takes a number.
        _ = InheritedFileLimit.Raise();
        string? why = null;
        for (int attempt = 0; attempt < MostAttempts && !keeper.IsGone; attempt++)
        {
            why = Try(keeper);
            if (why is null)
                break;
        }
        keeper.SayVerdict(why is null, why ?? ProductVersion.Text);
        return (int)(why is null ? ExitCode.Done : ExitCode.Failed);
    }

    private static string? Try(KeeperLink keeper)
    {
        if (keeper.Restore() is not { } answer)
            return "the keeper is gone";
        using FileDescriptor? memory = answer.Take(System.Text.Encoding.UTF8.GetString(KeeperMemory.Name));
        using Heritage heritage = Heritage.Look(answer);
        if (memory is null)
            return "the keeper shows no memory of its own";
        if (!KeeperMemory.TryRead(memory, out _, null, null, out string unread))
            return unread;
        if (heritage.State is not { } state)
            return $"what the supervisor has written down cannot be used: {heritage.WhyFresh}";
        if (heritage.UnsoundInstance is { } unsound)
            return unsound;
        Supervisor core = new(state, HostClock.Now);
        _ = Resumption.Of(core.Services, core.Frame);
        return answer.LostNames is [var lost, ..]
            ? $"{lost} and other descriptors find no number: the limit of open files (ulimit -Hn) is too low"
            : WhatIsMissing(heritage, core, state.Adopted);
    }

    private static string? WhatIsMissing(Heritage heritage, Supervisor core, SupervisorDefinition adopted)
    {
        HashSet<string> held = [.. heritage.Answer.Names];
        foreach (string needed in ListenersOf(adopted).Concat(core.Services.SelectMany(s => NeedsOf(heritage, s))))
        {
            if (!held.Contains(needed))
                return $"{needed}, which the supervisor has written down, is not held";
        }
        return null;
    }

    // The first of each, since only the opening tells how many addresses a name has.
    private static IEnumerable<string> ListenersOf(SupervisorDefinition adopted) => adopted.Listeners
        .Where(l => l.Addresses[0] is Addresses.ListenAddress.Tcp or Addresses.ListenAddress.Udp or Addresses.ListenAddress.Unix)
        .Select(l => InheritedListeners.NameOf(l.Key, 0, 0));

    private static IEnumerable<string> NeedsOf(Heritage heritage, ServiceState service)
    {
        foreach (SlotState slot in service.Slots.Concat(service.Beside))
        {
            if (slot.Phase is SlotPhase.Live { Instance: { } instance } and not SlotPhase.Preparing
                && heritage.InstanceOf(instance.Id.Number) is { NotifyPath: { } bound })
            {
                yield return NotifySockets.NameOf(bound);
            }
        }
        foreach (StoredDescriptor stored in service.Stored)
            yield return KeptDescriptors.NameOf(stored.Id, isPolled: false);
        foreach (SavedState saved in service.SavedStates)
            yield return KeptDescriptors.NameOf(saved.Descriptor, isPolled: false);
    }
}
