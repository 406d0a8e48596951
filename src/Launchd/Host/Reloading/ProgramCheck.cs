using Launchd.Config.Comparing;
using Launchd.Host.Provisioning;
using Launchd.Model;

namespace Launchd.Host.Reloading;

/// <summary>
/// Checks whether the services that a reload will start can be started, as far as <see cref="StartCheck"/> can tell. Services that go on
/// unchanged are not checked.
/// </summary>
internal static class ProgramCheck
{
    /// <returns>One sentence about the first that is missing; null: all is there.</returns>
    public static string? Run(SupervisorDefinition definition, DefinitionDifference difference, UserTable users)
    {
        HashSet<string> started = [.. difference.Changes.Where(c => c.Table == "services"
            && (c.Kind == ChangeKind.Added || c.Effect == ChangeEffect.NewGeneration)).Select(c => c.Name)];
        foreach (ServiceDefinition service in definition.Services)
        {
            if (!started.Contains(service.Name.Text))
                continue;
            ResolvedUser user = users[service.Execution];
            if (user.Problem is { } problem)
                return $"services.{service.Name}: {problem}";
            foreach (StartFault fault in StartCheck.FaultsOf(service, user))
            {
                if (!fault.IsHarmless)
                    return $"services.{service.Name}: {fault.Key}{fault.Text}";
            }
        }
        return null;
    }
}
