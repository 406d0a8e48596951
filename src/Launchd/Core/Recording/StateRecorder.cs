using System.Runtime.InteropServices;
using Launchd.Core.Slots;
using Launchd.Model;

namespace Launchd.Core.Recording;

/// <summary>
/// Writes down the core's whole state, after each step only what the step changed. <see cref="StateReader"/> makes of the records a state
/// with which a core goes on as if nothing had been. Definitions are written once and referred to by number, so that what was the same
/// object is the same object again.
/// </summary>
internal sealed class StateRecorder
{
    private static readonly RecordKey ConfigurationKey = new(RecordKind.Configuration, 0);
    private static readonly RecordKey FrameKey = new(RecordKind.Frame, 0);
    private static readonly RecordKey EffectsKey = new(RecordKind.Effects, 0);

    private readonly IRecordSink _sink;
    private readonly RecordWriter _writer;

    // A definition is met, and written, in the middle of the record that refers to it.
    private readonly RecordWriter _definitionWriter =
        new(_ => throw new InvalidOperationException("a definition refers to no other"));

    private readonly Dictionary<ServiceDefinition, NumberedDefinition> _definitions = new(ReferenceEqualityComparer.Instance);
    private readonly List<NumberedDefinition> _used = [];
    private readonly List<NumberedDefinition> _unused = [];
    private readonly List<Effect> _acting = [];
    private long _lastDefinition;
    private long _steps = -1;
    private bool _isTaking;

    // What stands in the records.
    private SupervisorDefinition? _adopted;
    private NumberedDefinition[] _adoptedUses = [];
    private SupervisorFrame? _frame;
    private ServiceState[]? _services;
    private WrittenService[] _written = [];
    private NumberedDefinition[] _effectUses = [];
    private bool _hasEffects;
    private readonly OrderRecorder _orders;

    /// <param name="sink">Empty.</param>
    public StateRecorder(IRecordSink sink)
    {
        _sink = sink;
        _writer = new RecordWriter(NumberOf);
        _orders = new OrderRecorder(sink, _writer);
    }

    /// <summary>Goes on with what was read.</summary>
    /// <param name="sink">Has the records that were read, and no others of the core.</param>
    /// <param name="restored">What they said.</param>
    /// <param name="core">Made of that, and without a step since.</param>
    public StateRecorder(IRecordSink sink, RestoredState restored, Supervisor core)
        : this(sink)
    {
        foreach ((long number, ServiceDefinition definition) in restored.Definitions)
        {
            NumberedDefinition numbered = new(number, definition);
            _definitions.Add(definition, numbered);
            _unused.Add(numbered); // for what refers to none
            _lastDefinition = Math.Max(_lastDefinition, number);
        }
        // It is all there already: what is gone through here is only who refers to which definition.
        _isTaking = true;
        NoteAll(core, restored.Adopted, restored.Effects);
        _orders.Take(core.Frame.Requests, core.State.Services, restored.Settlements);
        _isTaking = false;
    }

    /// <summary>Gives the sink what the last step changed, and the step's end. After each step that did not throw.</summary>
    /// <param name="core">That took the step.</param>
    /// <param name="adopted">The configuration with which the core was made, or that it was last told to take.</param>
    /// <param name="effects">What the step had the host do.</param>
    public void Note(Supervisor core, SupervisorDefinition adopted, IReadOnlyList<Effect> effects)
    {
        NoteAll(core, adopted, effects);
        foreach (NumberedDefinition definition in _unused)
        {
            if (definition.UseCount == 0 && _definitions.Remove(definition.Definition))
                _sink.Remove(new RecordKey(RecordKind.Definition, definition.Number));
        }
        _unused.Clear();
        _sink.Commit();
    }

    private void NoteAll(Supervisor core, SupervisorDefinition adopted, IReadOnlyList<Effect> effects)
    {
        NoteServices(core);
        NoteFrame(core.Frame, core.State.Services);
        NoteConfiguration(adopted);
        NoteEffects(effects);
    }

    private void NoteServices(Supervisor core)
    {
        ServiceState[] services = core.State.Services;
        // Services have other numbers, or a step went by of which the recorder was not told.
        bool isWhole = _services != services || core.StepCount - _steps is not (0 or 1);
        _services = services;
        _steps = core.StepCount;
        if (!isWhole)
        {
            foreach (int service in core.ChangedNumbers)
                NoteService(service, services[service], core.Configured[service]);
            return;
        }
        for (int gone = services.Length; gone < _written.Length; gone++)
        {
            Release(_written[gone].Uses);
            _sink.Remove(new RecordKey(RecordKind.Service, gone));
        }
        int before = _written.Length;
        Array.Resize(ref _written, services.Length);
        for (int service = before; service < services.Length; service++)
            _written[service] = new WrittenService();
        for (int service = 0; service < services.Length; service++)
            NoteService(service, services[service], core.Configured[service]);
    }

    private void NoteService(int service, ServiceState state, ServiceDefinition configured)
    {
        WrittenService written = _written[service];
        if (ReferenceEquals(written.State, state) && ReferenceEquals(written.Configured, configured))
            return;
        written.State = state;
        written.Configured = configured;
        RecordedService record = new(state, ReferenceEquals(state.Definition, configured) ? null : configured);
        written.Uses = Put(new RecordKey(RecordKind.Service, service), ServiceRecords.Services, record, written.Uses);
    }

    private void NoteFrame(SupervisorFrame frame, ServiceState[] services)
    {
        if (ReferenceEquals(frame, _frame))
            return;
        if (!_isTaking && (_frame is null || _frame.Requests != frame.Requests))
            _orders.Note(frame.Requests, services);
        // Many steps make another frame that says the same.
        bool isSame = _frame is not null && FrameRecords.Frames.AreSame(frame, _frame);
        _frame = frame;
        if (!isSame)
            Put(FrameKey, FrameRecords.Frames, frame, []);
    }

    private void NoteConfiguration(SupervisorDefinition adopted)
    {
        if (ReferenceEquals(adopted, _adopted))
            return;
        _adopted = adopted;
        RecordedConfiguration record = new(RecordedConfiguration.PresentLayout, adopted, adopted.Services);
        _adoptedUses = Put(ConfigurationKey, ConfigurationRecords.Configurations, record, _adoptedUses);
    }

    private void NoteEffects(IReadOnlyList<Effect> effects)
    {
        _acting.Clear();
        for (int i = 0; i < effects.Count; i++)
        {
            if (EffectRecords.IsActing(effects[i]))
                _acting.Add(effects[i]);
        }
        if (_acting.Count > 0)
        {
            _effectUses = Put(EffectsKey, EffectRecords.Effects, _acting, _effectUses);
            _hasEffects = true;
        }
        else if (_hasEffects)
        {
            Release(_effectUses);
            _effectUses = [];
            _hasEffects = false;
            _sink.Remove(EffectsKey);
        }
    }

    /// <returns>The definitions to which the record refers.</returns>
    private NumberedDefinition[] Put<T>(RecordKey key, Codec<T> codec, T value, NumberedDefinition[] before)
    {
        _used.Clear();
        ReadOnlySpan<byte> content = _writer.Make(codec, value);
        if (!_isTaking)
            _sink.Put(key, content);
        if (CollectionsMarshal.AsSpan(_used).SequenceEqual(before))
            return before;
        foreach (NumberedDefinition definition in _used)
            definition.UseCount++;
        Release(before);
        return [.. _used];
    }

    private void Release(NumberedDefinition[] uses)
    {
        foreach (NumberedDefinition definition in uses)
        {
            // Another record of the same step may still come to refer to it.
            if (--definition.UseCount == 0)
                _unused.Add(definition);
        }
    }

    private long NumberOf(ServiceDefinition definition)
    {
        if (!_definitions.TryGetValue(definition, out NumberedDefinition? numbered))
        {
            numbered = new NumberedDefinition(++_lastDefinition, definition);
            _definitions.Add(definition, numbered);
            RecordKey key = new(RecordKind.Definition, numbered.Number);
            _sink.Put(key, _definitionWriter.Make(DefinitionRecords.Services, definition));
        }
        // Slots and instances of one service refer to the same one, as a rule.
        if (_used.Count == 0 || _used[^1] != numbered)
            _used.Add(numbered);
        return numbered.Number;
    }

    /// <summary>A definition that has a record.</summary>
    private sealed class NumberedDefinition(long number, ServiceDefinition definition)
    {
        public long Number => number;
        public ServiceDefinition Definition => definition;

        /// <summary>How often other records refer to it.</summary>
        public int UseCount { get; set; }
    }

    /// <summary>What stands in the record of one service.</summary>
    private sealed class WrittenService
    {
        public ServiceState? State { get; set; }
        public ServiceDefinition? Configured { get; set; }
        public NumberedDefinition[] Uses { get; set; } = [];
    }
}
