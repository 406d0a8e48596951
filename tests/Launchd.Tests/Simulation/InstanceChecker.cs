using Launchd.Core;
using Launchd.Model;

namespace Launchd.Tests.Simulation;

/// <summary>
/// Properties 4 and 5: in a slot of a service that replaces there is never a second live instance; each is released exactly once and
/// only when nothing of it is left (or SIGKILL did not help); no signal to what was reaped; numbers are never used again. What is being
/// prepared is spawned only when it is, and once; until then it may be given up at any time.
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
            if (Start.Of(happened, effect) is { } start)
                CheckStart(start, isUnborn: effect is Effect.Prepare);
            else if (effect is Effect.Spawn birth)
                CheckBirth(birth);
            switch (effect)
            {
                case Effect.Signal e: CheckSignal(e, now, isSetAside: happened is Event.MachineFaulted); break;
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
            case Event.Spawned e when _lives.TryGetValue(e.Instance, out Life? life): life.IsBeingBorn = false; break;
            case Event.SpawnFailed e when _lives.TryGetValue(e.Instance, out Life? life): life.IsMainOver = true; break;
            case Event.MainExited e when _lives.TryGetValue(e.Instance, out Life? life):
                life.IsMainOver = true;
                life.HasLeftovers = e.HasLeftovers;
                break;
            case Event.SignalSent { Refusal: not null } e
                when e.Number == SignalNumber.Kill && _lives.TryGetValue(e.Instance, out Life? life):
                life.IsForeign = true;
                break;
            case Event.LeftoversEnded e when _lives.TryGetValue(e.Instance, out Life? life): life.HasLeftovers = false; break;
        }
    }

    private void CheckBirth(Effect.Spawn spawn)
    {
        Life life = _lives[spawn.Instance];
        That(life is { IsUnborn: true, IsReleased: false }, "spawned twice, or after it was given up", spawn.Instance);
        life.IsUnborn = false;
        life.IsBeingBorn = true;
    }

    private void CheckStart(Start start, bool isUnborn)
    {
        ServiceDefinition service = start.Definition;
        That(start.Instance.Number > _lastNumber, "a number is used again", start.Instance);
        _lastNumber = start.Instance.Number;
        Life[] live = [.. _lives.Values.Where(l => l.Service == service.Name && !l.IsReleased)];
        bool mayOverlap = service.Update == UpdateKind.Overlap || known.Overridden.Contains(service.Name);
        That(mayOverlap || live.All(l => l.Slot != start.Slot), "two live instances in one slot", start);
        bool isConnection = service.Start == StartKind.Connection;
        That(!isConnection || live.Length < known.MaxConnections(service.Name), "more live instances than connections may be", start);
        _lives.Add(start.Instance, new Life { Service = service.Name, Slot = start.Slot, IsUnborn = isUnborn, IsBeingBorn = !isUnborn });
    }

    private void CheckSignal(Effect.Signal signal, Moment now, bool isSetAside)
    {
        Life life = _lives[signal.Instance];
        That(!life.IsReleased, "a signal after the release", signal);
        That(!life.IsUnborn, "a signal to what was never born", signal);
        // A service of which a step was lost: the lost one may have been about its birth.
        That(!life.IsBeingBorn || (signal.Number == SignalNumber.Kill && isSetAside), "a signal to what is not born yet", signal);
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
        bool isHopeless = life.KilledAt is { } killed && (life.IsForeign || now - killed >= Limits.KillGrace);
        That(life.IsUnborn || isOver || isHopeless || life.IsUncertain, "released while it runs", release.Instance);
        life.IsReleased = true;
    }

    private sealed class Life
    {
        public required ServiceName Service { get; init; }
        public required int Slot { get; init; }
        public bool IsUnborn { get; set; }
        public bool IsBeingBorn { get; set; }
        public bool IsMainOver { get; set; }
        public bool HasLeftovers { get; set; }
        public bool IsReleased { get; set; }
        public bool IsUncertain { get; set; }

        /// <summary>SIGKILL was refused.</summary>
        public bool IsForeign { get; set; }
        public Moment? KilledAt { get; set; }
    }
}
