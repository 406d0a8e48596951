using Launchd.Core.Graph;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core;

/// <summary>
/// One step in the making: reads see what the step has changed so far, and nothing of it reaches the supervisor's state before
/// <see cref="Commit"/>. A step that throws is simply forgotten.
/// </summary>
internal sealed class Draft
{
    private readonly SupervisorState _state;
    private readonly ServiceState?[] _changed;
    private readonly bool[] _isTouched;
    private readonly bool[] _isQueued;
    private readonly List<int> _touched = [];
    private readonly Queue<int> _unsettled = [];
    private readonly Standings _standings;
    private bool _isCommitted;

    public Draft(SupervisorState state, DependencyGraph graph)
    {
        _state = state;
        _changed = new ServiceState?[state.Services.Length];
        _isTouched = new bool[state.Services.Length];
        _isQueued = new bool[state.Services.Length];
        Graph = graph;
        Frame = state.Frame;
        Walk = new GraphWalk(state.Services.Length);
        // Counted before the first step, so that this step can find out what it changes.
        _standings = new Standings(graph);
        _standings.CatchUp(this);
        ForgetUnsettled();
    }

    public DependencyGraph Graph { get; }
    public GraphWalk Walk { get; }

    /// <summary>What services are to their neighbours, with all that this step has changed so far.</summary>
    public Standings Standings
    {
        get
        {
            _standings.CatchUp(this);
            return _standings;
        }
    }

    public Moment Now { get; private set; }
    public List<Effect> Effects { get; } = [];

    /// <summary>Everything but the services.</summary>
    public SupervisorFrame Frame { get; set; }

    /// <summary>Services that this step puts off: to be started, and to be told to end. In the frame at the end of the step.</summary>
    public List<int> PutOffStarts { get; } = [];
    public List<int> PutOffStops { get; } = [];

    /// <summary>Services whose state this step changed, or whose pending orders it concerns.</summary>
    public IReadOnlyList<int> Touched => _touched;

    /// <summary>
    /// How often services were looked at since this object was made: a measure of a step's cost that is the same on every machine.
    /// </summary>
    public long LookCount { get; private set; }

    public bool IsShuttingDown => Frame.Shutdown is not null;

    public ServiceState this[int service]
    {
        get
        {
            LookCount++;
            return _changed[service] ?? _state.Services[service];
        }

        set
        {
            _changed[service] = value;
            _standings.Mark(service);
            Touch(service);
            Unsettle(service);
        }
    }

    /// <summary>Begins a step; the object serves again and again, so that a quiet step allocates little.</summary>
    public void Begin(Moment now)
    {
        foreach (int service in _touched)
        {
            _changed[service] = null;
            _isTouched[service] = false;
            if (!_isCommitted)
                _standings.Mark(service); // the step threw, and it is again what it was before
        }
        _touched.Clear();
        _isCommitted = false;
        ForgetUnsettled(); // left over from a step that threw
        Effects.Clear();
        PutOffStarts.Clear();
        PutOffStops.Clear();
        Frame = _state.Frame;
        Now = now;
    }

    /// <returns>Whether a service has another definition than before.</returns>
    public bool Commit()
    {
        bool isDefinedAnew = false;
        foreach (int service in _touched)
        {
            if (_changed[service] is not { } next)
                continue;
            isDefinedAnew |= !ReferenceEquals(_state.Services[service].Definition, next.Definition);
            _state.Services[service] = next;
        }
        _state.Frame = Frame;
        _isCommitted = true;
        return isDefinedAnew;
    }

    /// <summary>The next service whose wishes are to be looked at again; -1: all is settled.</summary>
    public int TakeUnsettled()
    {
        if (_unsettled.Count == 0)
            _standings.CatchUp(this); // which may have more looked at
        if (!_unsettled.TryDequeue(out int service))
            return -1;
        _isQueued[service] = false;
        return service;
    }

    public void Unsettle(int service)
    {
        if (_isQueued[service])
            return;
        _isQueued[service] = true;
        _unsettled.Enqueue(service);
    }

    /// <summary>Has the orders that wait for this service looked at again.</summary>
    public void Touch(int service)
    {
        if (_isTouched[service])
            return;
        _isTouched[service] = true;
        _touched.Add(service);
    }

    /// <summary>Changes one slot of a service.</summary>
    public SlotState SetSlot(int service, SlotState slot)
    {
        ServiceState state = this[service];
        if (slot.Key != 0)
        {
            this[service] = state with { Beside = state.Beside.SetItem(IndexBeside(state, slot.Key), slot) };
            return slot;
        }
        this[service] = state with { Slots = state.Slots.SetItem(IndexOf(state, slot.Slot), slot) };
        return slot;
    }

    public SlotState SetPhase(int service, SlotState slot, SlotPhase phase) => SetSlot(service, slot with { Phase = phase });

    /// <summary>Takes away the state of an instance that lived beside a slot and is over.</summary>
    public void RemoveBeside(int service, SlotState gone)
    {
        ServiceState state = this[service];
        this[service] = state with { Beside = state.Beside.RemoveAt(IndexBeside(state, gone.Key)) };
    }

    /// <summary>The slot that holds an instance, or beside which it lives; null: the instance is over, or never was.</summary>
    public (int Service, SlotState Slot, SlotPhase.Live Phase)? Find(InstanceId instance)
    {
        int service = Graph.Find(instance.Service);
        if (service < 0)
            return null;
        foreach (SlotState slot in this[service].Slots)
        {
            if (slot.Phase is SlotPhase.Live live && live.Instance.Id == instance)
                return (service, slot, live);
        }
        foreach (SlotState beside in this[service].Beside)
        {
            if (beside.Key == instance.Number)
                return (service, beside, (SlotPhase.Live)beside.Phase);
        }
        return null;
    }

    /// <summary>
    /// A number from 0 (inclusive) to 1 of the one seeded generator (splitmix64), whose state is part of the supervisor's.
    /// </summary>
    public double NextRandom()
    {
        unchecked
        {
            ulong seed = Frame.RandomState + 0x9E3779B97F4A7C15;
            Frame = Frame with { RandomState = seed };
            ulong mixed = (seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9;
            mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB;
            return ((mixed ^ (mixed >> 31)) >> 11) * (1.0 / (1UL << 53));
        }
    }

    public void Do(Effect effect) => Effects.Add(effect);

    public void Report(Notice notice) => Effects.Add(new Effect.Report(notice));

    public void Arm(TimerKind kind, ServiceName service, long subject, Moment due) =>
        Do(new Effect.ArmTimer(new(kind, service, subject), due));

    public void Disarm(TimerKind kind, ServiceName service, long subject) => Do(new Effect.DisarmTimer(new(kind, service, subject)));

    private void ForgetUnsettled()
    {
        while (_unsettled.TryDequeue(out int service))
            _isQueued[service] = false;
    }

    private static int IndexBeside(ServiceState state, long key)
    {
        for (int i = 0; i < state.Beside.Length; i++)
        {
            if (state.Beside[i].Key == key)
                return i;
        }
        throw new InvalidOperationException($"no instance {key} beside the slots of {state.Definition.Name}");
    }

    private static int IndexOf(ServiceState state, int slot)
    {
        // Pools keep slot i at place i; only services that serve connections leave gaps.
        if (slot < state.Slots.Length && state.Slots[slot].Slot == slot)
            return slot;
        for (int i = 0; i < state.Slots.Length; i++)
        {
            if (state.Slots[i].Slot == slot)
                return i;
        }
        throw new InvalidOperationException($"no slot {slot} in {state.Definition.Name}");
    }
}
