using Launchd.Model;

namespace Launchd.Core;

/// <summary>
/// One step in the making: reads see what the step has changed so far, and nothing of it reaches the supervisor's state before
/// <see cref="Commit"/>. A step that throws is simply forgotten.
/// </summary>
internal sealed class Draft(SupervisorState state, DependencyGraph graph)
{
    private readonly ServiceState?[] _changed = new ServiceState?[state.Services.Length];
    private readonly bool[] _isTouched = new bool[state.Services.Length];
    private readonly bool[] _isQueued = new bool[state.Services.Length];
    private readonly List<int> _touched = [];
    private readonly Queue<int> _unsettled = [];

    public DependencyGraph Graph => graph;
    public Moment Now { get; private set; }
    public List<Effect> Effects { get; } = [];

    /// <summary>Everything but the services.</summary>
    public SupervisorFrame Frame { get; set; } = state.Frame;

    /// <summary>Services whose state this step changed, or whose pending orders it concerns.</summary>
    public IReadOnlyList<int> Touched => _touched;

    /// <summary>From which number on services that were put off may have their turn; past the last one: not in this step.</summary>
    public int NextPutOff { get; set; } = int.MaxValue;

    public bool IsShuttingDown => Frame.Shutdown is not null;

    public ServiceState this[int service]
    {
        get => _changed[service] ?? state.Services[service];
        set
        {
            _changed[service] = value;
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
        }
        _touched.Clear();
        while (TakeUnsettled() >= 0)
        {
            // Left over from a step that threw.
        }
        Effects.Clear();
        NextPutOff = int.MaxValue;
        Frame = state.Frame;
        Now = now;
    }

    public void Commit()
    {
        foreach (int service in _touched)
            state.Services[service] = _changed[service] ?? state.Services[service];
        state.Frame = Frame;
    }

    /// <summary>The next service whose wishes are to be looked at again; -1: all is settled.</summary>
    public int TakeUnsettled()
    {
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
        int at = IndexOf(state, slot.Slot);
        PublicState before = ServiceState.Publish(state.Slots[at].Phase);
        this[service] = state with { Slots = state.Slots.SetItem(at, slot) };
        if (ServiceState.Publish(slot.Phase) != before)
            UnsettleNeighbours(service);
        return slot;
    }

    public SlotState SetPhase(int service, SlotState slot, SlotPhase phase) => SetSlot(service, slot with { Phase = phase });

    /// <summary>Takes away what stood beside a slot: it is over.</summary>
    public void RemoveBeside(int service, SlotState gone)
    {
        ServiceState state = this[service];
        this[service] = state with { Beside = state.Beside.RemoveAt(IndexBeside(state, gone.Key)) };
        UnsettleNeighbours(service);
    }

    /// <summary>The slot that holds an instance, or beside which it lives; null: it is over, or never was.</summary>
    public (int Service, SlotState Slot, SlotPhase.Live Phase)? Find(InstanceId instance)
    {
        int service = graph.Find(instance.Service);
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

    /// <summary>0 (inclusive) to 1, from the one seeded generator (splitmix64), whose state is part of the supervisor's.</summary>
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

    public void Arm(TimerKind kind, ServiceName service, long subject, Moment due) => Do(new Effect.ArmTimer(new(kind, service, subject), due));

    public void Disarm(TimerKind kind, ServiceName service, long subject) => Do(new Effect.DisarmTimer(new(kind, service, subject)));

    public void UnsettleNeighbours(int service)
    {
        foreach (int other in graph.Then[service])
            Unsettle(other);
        foreach (int other in graph.First[service])
            Unsettle(other);
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
        // Pools keep slot i at place i; only connections leave gaps.
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
