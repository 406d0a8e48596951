namespace Launchd;

/// <summary>The entry point: hands the arguments to the command line.</summary>
internal static class Program
{
    private static int Main(string[] arguments)
    {
        try
        {
            return Cli.Parsing.CommandLine.Run(arguments);
        }
        catch (Exception unforeseen)
        {
            // A verb or the supervisor met what nobody foresaw: one sentence and an exit code, not SIGABRT and a stack.
            return (int)Cli.Surroundings.LastResort.Tell(unforeseen);
        }
    }
}
