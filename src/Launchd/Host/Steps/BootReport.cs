using System.Text;
using Launchd.Config.Loading;
using Launchd.Core;
using Launchd.Core.Slots;
using Launchd.Host.Loop;
using Launchd.Host.Reloading;
using Launchd.Logs;
using Launchd.Model;

namespace Launchd.Host.Steps;

/// <summary>
/// Sees when every service has come up and the boot is over, tells the operator how it went, and gives
/// back the memory that only the boot needed.
/// </summary>
internal sealed class BootReport
{
    private const long MostBootBytes = 3 << 20;
    private const long LargeBytes = 16 << 20;

    // Bytes that are allocated for each until everything is up, as GC.GetTotalAllocatedBytes tells of ten thousand.
    private const long MemoryPerListener = 2 << 10, MemoryPerService = 4 << 10, MemoryPerStart = 12 << 10;

    private readonly AdoptedConfiguration _configuration;
    private readonly Supervisor _core;
    private readonly LogPump _pump;
    private readonly Moment _startedAt;
    private readonly CollectorPause _pause;
    private int _upCount;

    /// <param name="configuration">Whose services come up.</param>
    /// <param name="core">Knows which have.</param>
    /// <param name="pump">Where the report goes.</param>
    /// <param name="startedAt">When the supervisor began.</param>
    /// <param name="pause">Of <see cref="PauseFor"/>; ended by <see cref="Collect"/>.</param>
    public BootReport(AdoptedConfiguration configuration, Supervisor core, LogPump pump, Moment startedAt, CollectorPause pause)
    {
        _configuration = configuration;
        _core = core;
        _pump = pump;
        _startedAt = startedAt;
        _pause = pause;
        _pause.Expect(StartBytes(configuration.Definition));
    }

    /// <summary>
    /// Holds the garbage collector back from the moment that a configuration was read. For a configuration of thousands of services it does
    /// not run while their listeners and states are made. For a smaller one it is held back only during the births, because the collector
    /// keeps the memory that it needs to find many young survivors at once.
    /// </summary>
    public static CollectorPause PauseFor(SupervisorDefinition definition)
    {
        CollectorPause pause = new();
        long making = (definition.Listeners.Length * MemoryPerListener) + (definition.Services.Length * MemoryPerService);
        if (making >= LargeBytes)
            pause.Expect(making + StartBytes(definition));
        return pause;
    }

    private static long StartBytes(SupervisorDefinition definition) =>
        definition.Services.Sum(s => s.Start == StartKind.Boot ? s.InstanceCount * MemoryPerStart : 0);

    /// <summary>The services came up under a supervisor before this one, which has told so.</summary>
    public bool IsResumed { get; init; }

    /// <summary>Called when every service has come up or failed. Null: nobody else wants to know.</summary>
    public Action? OnUp { get; init; }

    /// <summary>
    /// Whether every service that is wanted has been ready, listens, has done its work, or has failed once: who waits for the boot does not
    /// wait for attempts without end, nor for services that wait for such a one.
    /// </summary>
    public bool IsOver()
    {
        IReadOnlyList<ServiceState> services = _core.Services;
        // The services before this place have come up; a reload may have taken some away meanwhile.
        for (_upCount = Math.Min(_upCount, services.Count); _upCount < services.Count; _upCount++)
        {
            ServiceState service = services[_upCount];
            if (!IsUnderWay(service) || service.LastFailure is not null)
                continue;
            if (service.PublicState != PublicState.Waiting || !OthersHaveFailed())
                return false;
        }
        return true;
    }

    private static bool IsUnderWay(ServiceState service) => service is { IsWanted: true, IsWatching: false }
        && service.PublicState is PublicState.Starting or PublicState.Waiting or PublicState.BackingOff or PublicState.Draining;

    /// <summary>What is left waits for services that have failed, as far as can be told: none makes its first attempt.</summary>
    private bool OthersHaveFailed() =>
        _core.Services.Any(s => IsUnderWay(s) && s.LastFailure is not null)
        && !_core.Services.Any(s => IsUnderWay(s) && s.LastFailure is null && s.PublicState != PublicState.Waiting);

    /// <summary>The boot is over, and what it left has not been collected: to be done as soon as there is nothing else to do.</summary>
    public bool OwesCollection { get; private set; }

    /// <summary>Gives back what only the boot needed.</summary>
    public void Collect()
    {
        OwesCollection = false;
        _pause.Dispose();
        // The syntax trees, texts and tables of a large configuration are several times what stays. After a small one a collection would
        // cost more pages of the collector's own than it gives back.
        if (GC.GetTotalAllocatedBytes() > MostBootBytes)
            GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
    }

    /// <summary>Writes the report, when every service has come up or failed.</summary>
    public void Write()
    {
        OwesCollection = true;
        OnUp?.Invoke();
        SupervisorDefinition definition = _configuration.Definition;
        if (IsResumed || definition.LogFormat != LogFormat.Pretty || definition.LogLevel > LogSeverity.Information)
            return;
        string after = Spans.Show(HostClock.Now - _startedAt);
        IEnumerable<ServiceState> failing = _core.Services.Where(
            s => s.PublicState is PublicState.Failed or PublicState.Faulted || IsUnderWay(s));
        string[] failed = [.. failing.Select(s => s.Definition.Name.Text)];
        string text = failed.Length == 0 ? $"ready in {after}\n" : $"up after {after}, but not: {string.Join(", ", failed)}\n";
        _pump.Print(Encoding.UTF8.GetBytes(text));
    }
}
