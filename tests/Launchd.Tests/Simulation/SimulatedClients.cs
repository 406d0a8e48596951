namespace Launchd.Tests.Simulation;

/// <summary>Those who want something of one service, and what is known of them.</summary>
internal sealed class SimulatedClients
{
    public int Waiting { get; set; }
    public bool IsWatched { get; set; }
    public bool IsTold { get; set; }

    /// <summary>Accepted and not closed.</summary>
    public int Open { get; set; }
    public bool IsUseWatched { get; set; }

    public void Forget() => Waiting = 0;
}
