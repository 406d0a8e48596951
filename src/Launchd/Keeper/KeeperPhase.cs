namespace Launchd.Keeper;

/// <summary>What the keeper waits for.</summary>
internal enum KeeperPhase
{
    /// <summary>A supervisor is there.</summary>
    Supervised,

    /// <summary>The next supervisor is started when the pause is over.</summary>
    Pausing,

    /// <summary>Too many have died: the operator has to say what is to be done.</summary>
    GivenUp,

    /// <summary>The services are ended without a supervisor.</summary>
    Ending,

    /// <summary>The keeper ends.</summary>
    Over,
}
