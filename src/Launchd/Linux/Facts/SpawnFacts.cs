using Launchd.Client;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using Launchd.Linux.Spawning;

namespace Launchd.Linux.Facts;

/// <summary>How children are born here: what <c>LAUNCHD_SPAWN</c> says, or what a test of the quick way found.</summary>
internal static class SpawnFacts
{
    private const string Variable = "LAUNCHD_SPAWN";
    private const int O_RDWR = 2;

    /// <summary>The carrier that the environment asks for; null: it leaves the choice to a test.</summary>
    /// <param name="isWrong">It asks for something that does not exist.</param>
    public static SpawnCarrier? Asked(out bool isWrong)
    {
        string? text = Environment.GetEnvironmentVariable(Variable);
        isWrong = text is not (null or "" or "clone" or "exec");
        return text switch
        {
            "clone" => SpawnCarrier.Clone,
            "exec" => SpawnCarrier.Exec,
            _ => null,
        };
    }

    public static KernelFinding Births()
    {
        const string name = "births";
        try
        {
            SpawnCarrier? asked = Asked(out bool isWrong);
            if (isWrong)
                return new(name, FindingState.Missing, $"{Variable} is neither clone nor exec", "the supervisor does not start");
            FileDescriptor? nothing = Files.Open(null, "/dev/null", O_RDWR, 0, out Errno refused);
            if (nothing is null)
                return new(name, FindingState.Missing, $"/dev/null: {refused.Text}", "the supervisor does not start");
            using Spawner spawner = new(nothing, asked);
            string why = asked is null ? "" : $", as {Variable} asks";
            return spawner.Carrier == SpawnCarrier.Clone
                ? new(name, FindingState.Ok, "by clone" + why, "a service starts within a millisecond")
                : new(name, FindingState.Limited, "by a helper" + why, "each start costs some milliseconds more");
        }
        catch (SystemCallException refused)
        {
            return new(name, FindingState.Missing, refused.Message, "the supervisor does not start");
        }
    }
}
