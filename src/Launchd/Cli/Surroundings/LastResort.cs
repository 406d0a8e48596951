using System.Text;
using Launchd.Control;
using Launchd.Host.Reporting;
using Launchd.Linux.Calls;

namespace Launchd.Cli.Surroundings;

/// <summary>Turns an unforeseen exception into one sentence and an exit code.</summary>
internal static class LastResort
{
    /// <summary>Writes the sentence to standard error. Throws nothing.</summary>
    public static ExitCode Tell(Exception unforeseen)
    {
        try
        {
            (ExitCode code, string sentence) = Explain(unforeseen);
            using StandardStream error = new(2);
            error.Write(Encoding.UTF8.GetBytes($"launchd-cs: {sentence}\n"));
            return code;
        }
        catch (Exception)
        {
            // Standard error cannot be written, or there is no memory left: only the exit code tells.
            return ExitCode.InternalError;
        }
    }

    /// <summary>The exit code, and the sentence without <c>launchd-cs:</c> before it.</summary>
    public static (ExitCode Code, string Sentence) Explain(Exception unforeseen) => unforeseen switch
    {
        StartRefusedException refused => (refused.Code, refused.Message),
        SystemCallException refused => (ExitCode.SystemRefused, refused.Message),
        OutOfMemoryException => (ExitCode.SystemRefused,
            "the system gives no more memory, or no thread (ulimit -v, -d, -u, pids.max, memory.max)" + Stack(unforeseen)),
        _ => (ExitCode.InternalError, $"internal error, please report it: {Defect.DescribeWithStack(unforeseen)}"
            + (Defect.ShowsStacks ? "" : $" (with {Defect.StackVariable}=1 in the environment it shows its stack)")),
    };

    private static string Stack(Exception unforeseen) => Defect.ShowsStacks ? "\n" + Defect.DescribeWithStack(unforeseen) : "";
}
