using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Host;

namespace Launchd.IntegrationTests.Keeper;

/// <summary>What tests ask of supervisors that are killed and followed by others.</summary>
internal static class Survival
{
    /// <summary>A line of the log that has this in it, once there is one.</summary>
    public static Task<string> Says(this Supervisor supervisor, string text, int nth = 1) =>
        supervisor.Errors.First(l => l.Contains(text, StringComparison.Ordinal), $"'{text}'", nth);

    /// <summary>The next supervisor has gone on.</summary>
    public static Task<string> WentOn(this Supervisor supervisor, int nth = 1) =>
        supervisor.Says("goes on where the supervisor before it ended", nth);

    /// <summary>The main process of the first instance of a service.</summary>
    public static async Task<int> PidOf(this ControlSocket control, string service) =>
        (await control.Service(service)).GetProperty("instances")[0].GetProperty("pid").GetInt32();
}
