namespace Launchd.Client;

/// <summary>What happens when the fd store has descriptors of that name already.</summary>
public enum StoreMode
{
    /// <summary>Both are kept under the one name.</summary>
    Add,

    /// <summary>The old ones go first.</summary>
    Replace,

    /// <summary>The old ones stay, and the new ones are not stored.</summary>
    IfAbsent,
}
