using System.Buffers.Binary;
using System.Diagnostics.CodeAnalysis;
using System.Formats.Cbor;
using System.Globalization;
using System.Text;
using Launchd.Client;
using Launchd.Core;
using Launchd.Core.Recording;
using Launchd.Host.Instances;
using Launchd.Host.Reporting;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Memory;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Keeping;

/// <summary>
/// Writes down what another supervisor needs to go on where this one ends, whenever that is: what the core knows after each step, before
/// its effects are carried out; what the host knows of each instance; and copies of descriptors, which the keeper holds. The order makes a
/// death at any instruction harmless: the intent of a birth before the birth, its pid before the core is told, an exit status before the
/// process is reaped. For the loop's thread.
/// <para>
/// Where the file has a name in the runtime directory, it outlives the keeper too: then it also has what each descriptor that is held is
/// recognised by, since the programs have most of them.
/// </para>
/// </summary>
internal sealed class StateWriter : IRecordSink, IDescriptorKeeper, IDisposable
{
    /// <summary>The name by which the keeper holds the file of the records.</summary>
    public const string StateName = "state";

    /// <summary>The name by which it holds the memory in which children write their pids.</summary>
    public const string BirthsName = "births";

    public const byte InstanceKind = 16, ProgressKind = 17;

    /// <summary>The version of the supervisor that has handed over last, as UTF-8.</summary>
    private const byte FormerVersionKind = 18;

    /// <summary>Notes of the descriptors that are held: <see cref="HeldNote"/>.</summary>
    private const byte NoteKind = 19;

    /// <summary>Whose records they are: the supervisor's mark and its process, a line each.</summary>
    private const byte OwnerKind = 20;

    private readonly IDescriptorKeeper? _keeper;
    private readonly Dictionary<string, long> _notes = new(StringComparer.Ordinal);
    private RecordLog _log;
    private long _lastNote;
    private readonly Func<SupervisorDefinition> _configuration;
    private readonly RunningInstances _instances;
    private readonly Counters _counters;
    private readonly ILogger _logger;
    private StateRecorder? _recorder;
    private readonly CborWriter _writer = new(CborConformanceMode.Lax);
    private readonly byte[] _progress = new byte[sizeof(int)];
    private int _carriedOut;
    private bool _isHeld = true;
    private bool _wasRefused;

    /// <param name="logTaken">Empty, or as a former supervisor left it.</param>
    /// <param name="keeper">Holds what is to be held; null: nobody does.</param>
    /// <param name="configuration">The one that holds.</param>
    /// <param name="instances">All that run.</param>
    /// <param name="counters">Of the supervisor.</param>
    /// <param name="logger">Of the supervisor.</param>
    public StateWriter(
        RecordLog logTaken, IDescriptorKeeper? keeper, Func<SupervisorDefinition> configuration, RunningInstances instances,
        Counters counters, ILogger logger)
    {
        _log = logTaken;
        _keeper = keeper;
        _configuration = configuration;
        _instances = instances;
        _counters = counters;
        _logger = logger;
        _carriedOut = CarriedOutIn(logTaken);
        foreach ((long number, HeldNote note) in NotesIn(logTaken))
            (_notes[note.Name], _lastNote) = (number, Math.Max(_lastNote, number));
        _keeper?.Store(StateName, logTaken.File);
    }

    /// <summary>
    /// The records lie in a file of the runtime directory, and this takes it away: called when they lie elsewhere from now on, or cannot be
    /// believed any more. Null: they have no name, and go with the keeper.
    /// </summary>
    public Action? RemoveFile { get; set; }

    /// <summary>Whether the file of the records has a name.</summary>
    public bool HasName => FileStatus.Read(_log.File, out FileStatus status) == Errno.None && status.LinkCount > 0;

    /// <summary>Says whose the records are.</summary>
    public void NoteOwner(string mark)
    {
        _log.Put(OwnerKind, 0, Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{mark}\n{Environment.ProcessId}")));
        Commit();
    }

    /// <summary>Whose records they are: the mark, and the process; "" and 0: it does not stand there.</summary>
    public static (string Mark, int Pid) OwnerIn(RecordLog log)
    {
        string[] lines = log.Find(OwnerKind, 0) is { } owner ? Encoding.ASCII.GetString(owner).Split('\n') : [""];
        return (lines[0], int.TryParse(lines[^1], NumberStyles.None, CultureInfo.InvariantCulture, out int pid) ? pid : 0);
    }

    /// <summary>The descriptors that were held.</summary>
    public static IEnumerable<(long Number, HeldNote Note)> NotesIn(RecordLog log)
    {
        foreach ((byte kind, long number) in log.Keys)
        {
            if (kind == NoteKind && log.Find(kind, number) is { } content && HeldNote.TryRead(content) is { } note)
                yield return (number, note);
        }
    }

    /// <summary>Holds a copy of a descriptor. What it is recognised by is written down with the next commit.</summary>
    public void Store(string name, FileDescriptor borrowed, bool mayWait = false)
    {
        _keeper?.Store(name, borrowed, mayWait);
        NoteHeld(name, borrowed);
    }

    private void NoteHeld(string name, FileDescriptor borrowed)
    {
        if (RemoveFile is null || DescriptorIdentity.Read(borrowed, out DescriptorIdentity identity) != Errno.None)
            return;
        if (!_notes.TryGetValue(name, out long number))
            _notes.Add(name, number = ++_lastNote);
        _writer.Reset();
        new HeldNote(name, identity).Write(_writer);
        _log.Put(NoteKind, number, _writer.Encode());
    }

    /// <summary>Lets a copy go.</summary>
    public void Drop(string name, bool isDrained = false)
    {
        _keeper?.Drop(name, isDrained);
        if (_notes.Remove(name, out long number))
            _log.Remove(NoteKind, number);
    }

    /// <summary>Goes on in another file, because somebody has removed the name of the one that there was.</summary>
    /// <param name="logTaken">Empty.</param>
    /// <returns>Why it goes on in the former file (ENOSPC, EIO).</returns>
    public Errno GoOnIn(RecordLog logTaken)
    {
        Errno refused = _log.CopyTo(logTaken);
        if (refused != Errno.None)
        {
            logTaken.Dispose();
            return refused;
        }
        _log.Dispose();
        _log = logTaken;
        _keeper?.Store(StateName, _log.File);
        return Errno.None;
    }

    /// <summary>Goes on with the records of a supervisor before this one.</summary>
    /// <param name="restored">What they said.</param>
    /// <param name="core">Made of that, and without a step since.</param>
    public void Resume(RestoredState restored, Supervisor core) => _recorder = new StateRecorder(this, restored, core);

    /// <summary>The core has taken a step, and its effects are about to be carried out.</summary>
    public void NoteStep(Supervisor core, IReadOnlyList<Effect> effects)
    {
        if (_carriedOut > 0)
            _log.Remove(ProgressKind, 0);
        _carriedOut = 0;
        if (_recorder is null)
            BeginRecords();
        _recorder.Note(core, _configuration(), effects);
    }

    /// <summary>One of the step's effects that must not be carried out twice has been carried out.</summary>
    public void NoteCarriedOut()
    {
        BinaryPrimitives.WriteInt32LittleEndian(_progress, ++_carriedOut);
        _log.Put(ProgressKind, 0, _progress);
        Commit();
    }

    /// <summary>How many of such effects the last step's supervisor had carried out.</summary>
    public static int CarriedOutIn(RecordLog log) =>
        log.Find(ProgressKind, 0) is { Length: sizeof(int) } count ? BinaryPrimitives.ReadInt32LittleEndian(count) : 0;

    /// <summary>Whether what stands there is what the core and the host know, so that another supervisor can go on with it.</summary>
    public bool IsHeld => _isHeld && _recorder is not null;

    /// <summary>The supervisor is about to hand over to one of another version.</summary>
    public void NoteHandOver(string version)
    {
        _log.Put(FormerVersionKind, 0, Encoding.UTF8.GetBytes(version));
        Commit();
    }

    /// <summary>The version that has handed over last; null: none has.</summary>
    public static string? FormerVersionIn(RecordLog log) =>
        log.Find(FormerVersionKind, 0) is { } version ? Encoding.UTF8.GetString(version) : null;

    /// <summary>Something is different about an instance that another supervisor must know.</summary>
    public void Note(RunningInstance instance)
    {
        Put(instance);
        Commit();
    }

    /// <summary>The same with the next commit, where that follows at once.</summary>
    public void Put(RunningInstance instance)
    {
        _writer.Reset();
        InstanceRecord.Of(instance).Write(_writer);
        _log.Put(InstanceKind, instance.Id.Number, _writer.Encode());
    }

    /// <summary>The main process of an instance is there.</summary>
    public void NoteBorn(RunningInstance instance)
    {
        instance.Identity = ProcessIdentity.Of(instance.Process!);
        Note(instance);
    }

    /// <summary>Has a copy of an instance's descriptor held until the instance is over.</summary>
    /// <param name="instance">Whose it is.</param>
    /// <param name="part">What it is: a word of <see cref="HeldParts"/>.</param>
    /// <param name="borrowed">The descriptor.</param>
    public void Hold(RunningInstance instance, string part, FileDescriptor borrowed)
    {
        instance.Held.Add(part);
        string name = NameOf(instance.Id, part);
        _keeper?.Store(name, borrowed, mayWait: true);
        // The other end of a pipe can be had from the program. Nobody has that of a channel or a terminal.
        if (part is HeldParts.Output or HeldParts.Error or HeldParts.ReadyPipe)
            NoteHeld(name, borrowed);
    }

    /// <summary>The instance is over, or was not born: nobody goes on with it.</summary>
    public void Forget(RunningInstance instance)
    {
        foreach (string part in instance.Held)
            Drop(NameOf(instance.Id, part), isDrained: part == HeldParts.Channel && instance.IsChannelDrained);
        instance.Held.Clear();
        _log.Remove(InstanceKind, instance.Id.Number);
        Commit();
    }

    /// <summary>Takes out what stands of other instances than these.</summary>
    public void Keep(IReadOnlySet<long> instances)
    {
        foreach ((byte kind, long number) in _log.Keys.Where(k => k.Kind == InstanceKind && !instances.Contains(k.Number)).ToArray())
            _log.Remove(kind, number);
        Commit();
    }

    /// <summary>The name by which a descriptor of an instance is held.</summary>
    public static string NameOf(InstanceId instance, string part) =>
        string.Create(CultureInfo.InvariantCulture, $"instance.{instance.Number}.{part}");

    public void Dispose() => _log.Dispose();

    void IRecordSink.Put(RecordKey key, ReadOnlySpan<byte> content) => _log.Put((byte)key.Kind, key.Number, content);

    void IRecordSink.Remove(RecordKey key) => _log.Remove((byte)key.Kind, key.Number);

    void IRecordSink.Commit() => Commit();

    [MemberNotNull(nameof(_recorder))]
    private void BeginRecords()
    {
        foreach ((byte kind, long number) in _log.Keys.Where(k => k.Kind < InstanceKind))
            _log.Remove(kind, number);
        _recorder = new StateRecorder(this);
        // After a refusal what was put of them may be missing.
        foreach (RunningInstance instance in _instances.All)
            Put(instance);
    }

    private void Commit()
    {
        Errno refused = _log.TryCommit();
        if (refused != Errno.None && RemoveFile is not null)
            refused = LeaveFile(refused);
        if (refused == Errno.None)
        {
            if (!_isHeld && _recorder is not null)
                _keeper?.Store(StateName, _log.File);
            _isHeld |= _recorder is not null;
            return;
        }
        _log.Forget();
        // What stands there is out of date from now on, and nobody is to believe it.
        _keeper?.Drop(StateName);
        _isHeld = false;
        // What was put is lost for the log, and later records would not fit what stands in it: with the next step all of it is put again.
        _recorder = null;
        _counters.Count("state-not-written");
        if (!_wasRefused)
        {
            SupervisorLog.Hindered(
                _logger, $"the supervisor's state cannot be written down ({refused.Text}): if it dies now, the next one starts afresh");
        }
        _wasRefused = true;
    }

    // Others may fill a file system that is theirs too. A keeper is served as well by a file without a name.
    private Errno LeaveFile(Errno refused)
    {
        RemoveFile!();
        RemoveFile = null;
        SupervisorLog.Hindered(_logger, $"the supervisor's state cannot be written into its runtime directory ({refused.Text}): if it and "
            + "its keeper are killed, the next one finds their programs, but cannot go on with them");
        _wasRefused |= _keeper is null;
        if (_keeper is null || RecordLog.Create(out _) is not { } memory)
            return refused;
        if (_log.CopyTo(memory) is { Value: not 0 } notCopied)
        {
            memory.Dispose();
            return notCopied;
        }
        _log.Dispose();
        _log = memory;
        _keeper.Store(StateName, memory.File);
        return Errno.None;
    }
}
