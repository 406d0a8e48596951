namespace Launchd;

/// <summary>The entry point: hands the arguments to the command line.</summary>
internal static class Program
{
    private static int Main(string[] arguments) => Cli.CommandLine.Run(arguments);
}
