using System.Collections.Immutable;
using Launchd.Config.Comparing;
using Launchd.Config.Diagnostics;
using Launchd.Config.Loading;
using Launchd.Config.Showing;
using Launchd.Config.Sources;
using Launchd.Control;
using Launchd.Host.Listeners;
using Launchd.Host.Provisioning;
using Launchd.Host.Reporting;
using Launchd.Linux.Paths;
using Launchd.Model;

namespace Launchd.Host.Reloading;

/// <summary>Why a reload, or its plan, does not take place.</summary>
/// <param name="Reason">One sentence.</param>
/// <param name="Code">What kind of refusal it is.</param>
/// <param name="Diagnostics">All faults of the files, as people read them; null: they have none.</param>
internal sealed record ReloadRefusal(string Reason, ExitCode Code, string? Diagnostics = null);

/// <summary>
/// Everything that a reload needs before the loop can switch in one turn. Owns the opened
/// descriptors until the plan is committed or undone.
/// </summary>
internal sealed record PreparedReload
{
    public required SupervisorDefinition Definition { get; init; }
    public required DefinitionDifference Difference { get; init; }

    /// <summary>Services that go on with their instances under new policies.</summary>
    public required ImmutableArray<ServiceName> Quiet { get; init; }
    public required UserTable Users { get; init; }
    public required ImmutableArray<Diagnostic> Warnings { get; init; }

    /// <summary>The owner that the control socket is to have.</summary>
    public required PathOwner ControlOwner { get; init; }

    /// <summary>Null for a mere plan: nothing was opened.</summary>
    public required DescriptorPlan? Descriptors { get; init; }
}

/// <summary>What the loop knows when a reload begins, as values that do not change.</summary>
/// <param name="Source">Where the file is, and what it may refer to.</param>
/// <param name="Present">The configuration that holds.</param>
/// <param name="Sockets">The sockets that are open for it.</param>
/// <param name="Retired">Listeners that are open only for the instances that still have them.</param>
/// <param name="Files">The files that are open for it.</param>
/// <param name="Inherited">What the service manager has passed.</param>
/// <param name="ExitWith">The service with which the supervisor ends; null: none.</param>
/// <param name="RolledBack">Services that do not run by the present configuration, because their roll-out failed.</param>
internal sealed record ReloadBasis(
    ConfigSource Source, SupervisorDefinition Present, ImmutableArray<HeldSocket> Sockets, ImmutableArray<Listener> Retired,
    ImmutableArray<HeldFile> Files, InheritedListeners Inherited, ServiceName? ExitWith, ImmutableHashSet<ServiceName> RolledBack);

/// <summary>
/// The part of a reload that may block, done on another thread: reads and checks the files, looks up users, looks whether the programs that
/// are to be started are there, and opens new descriptors. No running service notices it.
/// </summary>
internal static class ReloadPreparation
{
    /// <param name="basis">As the loop left it.</param>
    /// <param name="opens">False: for a plan, which changes nothing and opens nothing.</param>
    /// <param name="refusal">Null when it is prepared.</param>
    public static PreparedReload? Prepare(ReloadBasis basis, bool opens, out ReloadRefusal? refusal)
    {
        refusal = null;
        ConfigResult read = ConfigReader.Read(basis.Source);
        if (read.Definition is not { } next)
        {
            refusal = new ReloadRefusal(
                $"{basis.Source.DisplayPath}: {ConfigSummary.Of(read.Diagnostics)}", ExitCode.BadConfiguration, read.Print());
            return null;
        }
        DefinitionDifference difference = DefinitionDifference.Between(basis.Present, next, basis.RolledBack);
        (SupervisorDefinition definition, ImmutableArray<ServiceName> quiet) = difference.Adopt(basis.Present, next);
        UserTable users = new(definition);
        DescriptorPlan? descriptors = null;
        try
        {
            string? reason = Immovable(basis, difference, next) ?? ProgramCheck.Run(definition, difference, users);
            PathOwner owner = reason is null
                ? users.OwnerOf("supervisor.control_user", definition.ControlUser, definition.ControlGroup)
                : PathOwner.Own;
            if (reason is null && opens)
            {
                descriptors = DescriptorPlan.Open(
                    basis.Sockets, basis.Retired, basis.Files, definition, users, basis.Inherited, out reason);
            }
            if (reason is null)
            {
                return new PreparedReload
                {
                    Definition = definition,
                    Difference = difference,
                    Quiet = quiet,
                    Users = users,
                    Warnings = read.Diagnostics,
                    ControlOwner = owner,
                    Descriptors = descriptors,
                };
            }
            refusal = new ReloadRefusal(reason, ExitCode.Failed);
        }
        catch (StartRefusedException unknown)
        {
            refusal = new ReloadRefusal(unknown.Message, ExitCode.Failed);
        }
        return null;
    }

    private static string? Immovable(ReloadBasis basis, DefinitionDifference difference, SupervisorDefinition next)
    {
        if (difference.Refused is { } key)
        {
            string name = key.Key == "name" ? "name" : $"supervisor.{key.Key}";
            return $"{name} cannot change from {key.From} to {key.To} while the supervisor runs: change it back, or restart the supervisor";
        }
        if (basis.ExitWith is { } exitWith && next.Services.All(s => s.Name != exitWith))
            return $"services.{exitWith}: the supervisor runs until this service ends (--exit-with), so it cannot be taken out";
        return null;
    }
}
