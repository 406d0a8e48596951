namespace Launchd.Cli.Surroundings;

/// <summary>The reader of standard output is gone (<c>| head</c>): the verb has nothing left to do, which is no failure.</summary>
internal sealed class BrokenPipeException : IOException;
