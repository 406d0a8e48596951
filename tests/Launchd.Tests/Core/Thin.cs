using Launchd.Core;
using Launchd.Core.Instances;

namespace Launchd.Tests.Core;

/// <summary>
/// A host as thin as can be, so that the core is what is measured: spawns succeed at once, and what
/// is told to end ends when the test says so.
/// </summary>
internal sealed class Thin(Supervisor supervisor)
{
    private readonly Queue<Event> _results = [];
    private readonly Queue<InstanceId> _told = [];
    private readonly HashSet<InstanceId> _live = [];

    public Moment Now { get; set; } = new(1);

    /// <summary>Events so far.</summary>
    public long Steps { get; private set; }

    public int Replies { get; private set; }

    public bool HasExited { get; private set; }

    /// <summary>This service's program cannot be executed; null: all can.</summary>
    public string? Fails { get; set; }

    public IReadOnlyCollection<InstanceId> Live => _live;

    public List<TimerKey> Pauses { get; } = [];

    public void Send(Event happened)
    {
        for (Event? next = happened; next is not null; next = _results.TryDequeue(out Event? result) ? result : null)
        {
            Steps++;
            foreach (Effect effect in supervisor.Step(next, Now))
                CarryOut(effect);
        }
    }

    /// <summary>Whatever was told to end ends, and what is told to because of that, to the last one.</summary>
    public void EndAll()
    {
        while (_told.TryDequeue(out InstanceId told))
            End(told, new ExitStatus(0, 15));
    }

    public void End(InstanceId instance, ExitStatus status)
    {
        if (_live.Remove(instance))
            Send(new Event.MainExited(instance, status, HasLeftovers: false));
    }

    private void CarryOut(Effect effect)
    {
        switch (effect)
        {
            case Effect.Spawn spawn when spawn.Instance.Service.Text == Fails:
                _results.Enqueue(
                    new Event.SpawnFailed(spawn.Instance, new Failure.SpawnFailed("exec", 2, "exec program: No such file or directory")));
                break;
            case Effect.Spawn spawn:
                _results.Enqueue(new Event.Spawned(spawn.Instance, 1000));
                _live.Add(spawn.Instance);
                break;
            case Effect.Signal { Request: { } order } signal:
                _results.Enqueue(new Event.SignalSent(signal.Instance, signal.Number, order, Refusal: null));
                break;
            case Effect.Signal signal: _told.Enqueue(signal.Instance); break;
            case Effect.LookAtQueues look: _results.Enqueue(new Event.QueuesSeen(look.Instance, AreEmpty: true)); break;
            case Effect.AwaitTurn turn: _results.Enqueue(new Event.TurnBegan(turn.Kind)); break;
            case Effect.ArmTimer { Key.Kind: TimerKind.Backoff } arm: Pauses.Add(arm.Key); break;
            case Effect.Reply: Replies++; break;
            case Effect.Exit: HasExited = true; break;
        }
    }
}
