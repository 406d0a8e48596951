namespace Launchd.Host.Instances;

/// <summary>What is held of an instance for the supervisor after this one, in the words that end the names of the descriptors.</summary>
internal static class HeldParts
{
    public const string Channel = "channel", ReadyPipe = "ready", Terminal = "terminal", TerminalSlave = "slave";

    /// <summary>Also the names of the streams in the log.</summary>
    public const string Output = "output", Error = "error";
}
