namespace Launchd.Keeper;

/// <summary>What an upgrade has to do with the supervisor that is started. The numbers stand in <see cref="KeeperHistory"/>.</summary>
internal enum KeeperUpgradeState
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>The one before it has handed over to it.</summary>
    Upgraded = 1,

    /// <summary>The program that was to take over has not come to serve: this is the former program again.</summary>
    WentBack = 2,
}
