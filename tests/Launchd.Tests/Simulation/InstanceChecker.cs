using Launchd.Core;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>
/// Properties 4 and 5: in a slot of a service that replaces there is never a second live instance; each is released exactly once and
/// only when nothing of it is left (or SIGKILL did not help); no signal to what was reaped; numbers are never used again.
/// </summary>
internal sealed class InstanceChecker(Known known) : Checker("4, 5")
{
    private readonly Dictionary<InstanceId, Life> _lives = [];
    private long _lastNumber;

    public void Lose(Event happened)
    {
        InstanceId? lost = happened switch
        {
            Event.MainExited e => e.Instance,
            Event.LeftoversEnded e => e.Instance,
            _ => null,
        };
        if (lost is { } id && _lives.TryGetValue(id, out Life? life))
            life.IsUncertain = true;
    }

    public override void Check(Event happened, IReadOnlyList<Effect> effects, Moment now)
    {
        Note(happened);
        foreach (Effect effect in effects)
        {
            switch (effect)
            {
                case Effect.Spawn e: CheckSpawn(e); break;
                case Effect.Signal e: CheckSignal(e, now); break;
                case Effect.Release e: CheckRelease(e, now); break;
            }
        }
    }

    public override void CheckEnd()
    {
        foreach ((InstanceId id, Life life) in _lives)
            That(life.IsReleased, "never released", id);
    }

    private void Note(Event happened)
    {
        switch (happened)
        {
            case Event.SpawnFailed e when _lives.TryGetValue(e.Instance, out Life? life): life.IsMainOver = true; break;
            case Event.MainExited e when _lives.TryGetValue(e.Instance, out Life? life):
                life.IsMainOver = true;
                life.HasLeftovers = e.HasLeftovers;
                break;
            case Event.LeftoversEnded e when _lives.TryGetValue(e.Instance, out Life? life): life.HasLeftovers = false; break;
        }
    }

    private void CheckSpawn(Effect.Spawn spawn)
    {
        ServiceDefinition service = spawn.Definition;
        That(spawn.Instance.Number > _lastNumber, "a number is used again", spawn.Instance);
        _lastNumber = spawn.Instance.Number;
        Life[] live = [.. _lives.Values.Where(l => l.Service == service.Name && !l.IsReleased)];
        bool mayOverlap = service.Update == UpdateKind.Overlap || known.Overridden.Contains(service.Name);
        That(mayOverlap || live.All(l => l.Slot != spawn.Slot), "two live instances in one slot", spawn);
        bool isConnection = service.Start == StartKind.Connection;
        That(!isConnection || live.Length < known.MaxConnections(service.Name), "more live instances than connections may be", spawn);
        _lives.Add(spawn.Instance, new Life { Service = service.Name, Slot = spawn.Slot });
    }

    private void CheckSignal(Effect.Signal signal, Moment now)
    {
        Life life = _lives[signal.Instance];
        That(!life.IsReleased, "a signal after the release", signal);
        if (!life.IsUncertain)
            That(!life.IsMainOver || (life.HasLeftovers && signal.Scope != KillScope.Process), "a signal to a reaped main process", signal);
        if (signal.Number == SignalNumber.Kill)
            life.KilledAt ??= now;
    }

    private void CheckRelease(Effect.Release release, Moment now)
    {
        Life life = _lives[release.Instance];
        That(!life.IsReleased, "released twice", release.Instance);
        bool isOver = life.IsMainOver && (!life.HasLeftovers || known.Ever(life.Service).Any(s => s.Stop.Kill == KillScope.Process));
        bool isHopeless = life.KilledAt is { } killed && now - killed >= Limits.KillGrace;
        That(isOver || isHopeless || life.IsUncertain, "released while it runs", release.Instance);
        life.IsReleased = true;
    }

    private sealed class Life
    {
        public required ServiceName Service { get; init; }
        public required int Slot { get; init; }
        public bool IsMainOver { get; set; }
        public bool HasLeftovers { get; set; }
        public bool IsReleased { get; set; }
        public bool IsUncertain { get; set; }
        public Moment? KilledAt { get; set; }
    }
}
