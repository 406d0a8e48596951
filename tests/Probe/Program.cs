namespace Launchd.Probe;

/// <summary>The entry point: carries out the steps of the command line in order, then waits for SIGTERM.</summary>
internal static class Program
{
    private static int Main(string[] arguments)
    {
        try
        {
            Plan plan = Plan.Read(arguments);
            Output.Open(plan.OutputPath);
            using Signals signals = new(plan);
            new Runner(signals).Run(plan.Steps);
            signals.WaitForStop();
            return plan.StopCode;
        }
        catch (UsageException e)
        {
            Console.Error.WriteLine($"probe: {e.Message}");
            return 64;
        }
    }
}
