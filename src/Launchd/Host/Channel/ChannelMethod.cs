namespace Launchd.Host.Channel;

/// <summary>The methods of <c>org.launchd-cs.Instance</c>.</summary>
internal enum ChannelMethod
{
    Describe, List, Get, Publish, Unpublish, Request, Give, Store, Unstore, SaveState, LoadState, Ready, Status, Stopping, Watchdog,
    ExtendTimeout, Watch, HandOver, DrainProgress,
}

/// <summary>The parameters that requests may have.</summary>
[Flags]
internal enum ChannelKeys
{
    None = 0,
    Names = 1 << 0,
    Name = 1 << 1,
    Number = 1 << 2,
    Service = 1 << 3,
    Slot = 1 << 4,
    Mode = 1 << 5,
    Access = 1 << 6,
    Wait = 1 << 7,
    Replace = 1 << 8,
    IfAbsent = 1 << 9,
    Poll = 1 << 10,
    Text = 1 << 11,
    Microseconds = 1 << 12,
    Remaining = 1 << 13,
    Ask = 1 << 14,
}

/// <summary>One row for each method: which parameters it must have, which it may have, whether descriptors may come with it.</summary>
internal sealed class ChannelMethodRule
{
    private static readonly ChannelMethodRule[] All =
    [
        new("Describe"u8, ChannelMethod.Describe),
        new("List"u8, ChannelMethod.List),
        new("Get"u8, ChannelMethod.Get, may: ChannelKeys.Names),
        new("Request"u8, ChannelMethod.Request, ChannelKeys.Service | ChannelKeys.Name,
            ChannelKeys.Slot | ChannelKeys.Mode | ChannelKeys.Access | ChannelKeys.Wait),
        new("Store"u8, ChannelMethod.Store, ChannelKeys.Name,
            ChannelKeys.Replace | ChannelKeys.IfAbsent | ChannelKeys.Poll, hasDescriptors: true),
        new("Unstore"u8, ChannelMethod.Unstore, ChannelKeys.Name),
        new("Publish"u8, ChannelMethod.Publish, ChannelKeys.Name | ChannelKeys.Number),
        new("Unpublish"u8, ChannelMethod.Unpublish, ChannelKeys.Name),
        new("Give"u8, ChannelMethod.Give, ChannelKeys.Ask, hasDescriptors: true),
        new("SaveState"u8, ChannelMethod.SaveState, hasDescriptors: true),
        new("LoadState"u8, ChannelMethod.LoadState),
        new("Ready"u8, ChannelMethod.Ready),
        new("Status"u8, ChannelMethod.Status, ChannelKeys.Text),
        new("Stopping"u8, ChannelMethod.Stopping),
        new("Watchdog"u8, ChannelMethod.Watchdog),
        new("ExtendTimeout"u8, ChannelMethod.ExtendTimeout, ChannelKeys.Microseconds),
        new("Watch"u8, ChannelMethod.Watch),
        new("HandOver"u8, ChannelMethod.HandOver, ChannelKeys.Name, hasDescriptors: true),
        new("DrainProgress"u8, ChannelMethod.DrainProgress, ChannelKeys.Remaining),
    ];

    private readonly byte[] _name;

    private ChannelMethodRule(
        ReadOnlySpan<byte> name, ChannelMethod method, ChannelKeys must = 0, ChannelKeys may = 0, bool hasDescriptors = false)
    {
        _name = name.ToArray();
        Method = method;
        Must = must;
        May = must | may;
        HasDescriptors = hasDescriptors;
    }

    public ChannelMethod Method { get; }
    public ChannelKeys Must { get; }

    /// <summary>The parameters that it may have, including those that it must have.</summary>
    public ChannelKeys May { get; }
    public bool HasDescriptors { get; }

    /// <summary>The rule of a name without its interface; null: there is no such method.</summary>
    public static ChannelMethodRule? Find(ReadOnlySpan<byte> name)
    {
        foreach (ChannelMethodRule rule in All)
        {
            if (name.SequenceEqual(rule._name))
                return rule;
        }
        return null;
    }
}
