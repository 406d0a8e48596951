using Launchd.Core;
using Launchd.Core.Recording;
using Launchd.Model;
using Launchd.Tests.Simulation;

namespace Launchd.Tests.Core.Recording;

/// <summary>
/// Hears all that another supervisor hears, but is written down after each step, thrown away and made anew from the records, again and
/// again. It has to do and to be the same at every step.
/// </summary>
/// <param name="definition">The other's first configuration.</param>
/// <param name="core">As the other was at first.</param>
/// <param name="restores">Whether it is made anew after this step.</param>
/// <param name="keep">Takes the records after a step, to be tried otherwise; null: nobody does.</param>
/// <param name="spoil">Plants a fault: what is gone on with instead of what was read.</param>
internal sealed class Twin(
    SupervisorDefinition definition, Supervisor core, Func<bool> restores, Action<MemorySink, Moment>? keep = null,
    Func<RestoredState, RestoredState>? spoil = null) : Onlooker
{
    // Effects are compared after every step; what they do not show is looked at so often.
    private const int StepsPerComparison = 5, StepsPerLook = 61;

    private readonly MemorySink _sink = new();
    private Supervisor _core = core;
    private StateRecorder? _recorder;
    private SupervisorDefinition _adopted = definition, _others = definition;
    private Event.Reloaded? _translated;
    private int _steps;

    public override void Before(Event happened, Supervisor other)
    {
        if (happened is not Event.Reloaded reloaded)
            return;
        // What was the same object for the other has to be the same for this one.
        DeepComparer comparer = Compare(other);
        _translated = reloaded with
        {
            Next = reloaded.Next with { Services = [.. reloaded.Next.Services.Select(s => comparer.CounterpartOf(s) ?? s)] },
        };
        if (other.Frame.Shutdown is null)
            (_adopted, _others) = (_translated.Next, reloaded.Next);
    }

    public override void After(Event happened, Moment now, IReadOnlyList<Effect> effects, Supervisor other)
    {
        Effect[] own = [.. _core.Step(happened is Event.Reloaded ? _translated! : happened, now)];
        Same(effects, own, "effects");
        _recorder ??= new StateRecorder(_sink);
        _recorder.Note(_core, _adopted, own);
        if (++_steps % StepsPerComparison == 0)
            CompareRecords(other, effects, own);
        if (_steps % StepsPerLook == 0)
            Compare(other);
        keep?.Invoke(_sink, now);
        if (restores())
            Restore(now, own);
    }

    private void Restore(Moment now, Effect[] effects)
    {
        if (!StateReader.TryRead(_sink.Records, out RestoredState? restored, out string? why))
            throw new BrokenPropertyException($"records: {why}");
        restored = spoil?.Invoke(restored) ?? restored;
        Same([.. effects.Where(EffectRecords.IsActing)], restored.Effects, "recorded effects");
        _core = new Supervisor(restored, now);
        _recorder = new StateRecorder(_sink, restored, _core);
        _adopted = restored.Adopted;
    }

    private static void Same(IReadOnlyList<Effect> others, IReadOnlyList<Effect> own, string what)
    {
        if (others.SequenceEqual(own))
            return;
        // Records compare lists by reference.
        string first = string.Join('\n', others.Select(TraceText.Of)), second = string.Join('\n', own.Select(TraceText.Of));
        if (first != second)
            throw new BrokenPropertyException($"records: other {what}\n{first}\n--\n{second}\n");
    }

    private DeepComparer Compare(Supervisor other)
    {
        DeepComparer comparer = new();
        string? difference = comparer.Difference(other.Configured, _core.Configured, "configured")
            ?? comparer.Difference(_others, _adopted, "adopted")
            ?? comparer.Difference(other.State, _core.State, "state");
        return difference is null ? comparer : throw new BrokenPropertyException($"records: {difference}");
    }

    /// <summary>
    /// Both written down whole have to be the same bytes. Numbers of definitions are given in the order in which they come, so that these
    /// also tell which are one object.
    /// </summary>
    private void CompareRecords(Supervisor other, IReadOnlyList<Effect> effects, IReadOnlyList<Effect> own)
    {
        MemorySink first = new(), second = new();
        new StateRecorder(first).Note(other, _others, effects);
        new StateRecorder(second).Note(_core, _adopted, own);
        // What is written at once needs no additions.
        int kept = _sink.Records.Keys.Count(k => k.Kind != RecordKind.Settlement);
        if (first.Records.Count != second.Records.Count || second.Records.Count != kept)
        {
            throw new BrokenPropertyException(
                $"records: {first.Records.Count} of the one, {second.Records.Count} of the other, {kept} kept");
        }
        foreach ((RecordKey key, ReadOnlyMemory<byte> content) in first.Records)
        {
            if (!second.Records.TryGetValue(key, out ReadOnlyMemory<byte> same) || !same.Span.SequenceEqual(content.Span))
                throw new BrokenPropertyException($"records: {RecordReader.NameOf(key)} is another");
        }
    }
}
