namespace Launchd.Cli;

/// <summary>The verbs of the command.</summary>
internal static class CommandLine
{
    public static int Run(string[] arguments)
    {
        Console.Error.WriteLine($"no verb is built yet; got {arguments.Length} arguments");
        return (int)ExitCode.Usage;
    }
}
