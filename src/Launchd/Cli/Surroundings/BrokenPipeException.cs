namespace Launchd.Cli.Surroundings;

/// <summary>Nobody reads the standard output any more (<c>| head</c>): the verb has nothing left to do, and that is no failure.</summary>
internal sealed class BrokenPipeException : IOException;
