using Launchd.Client;
using Launchd.Core;
using Launchd.Core.Instances;
using Launchd.Core.Recording;
using Launchd.Host.Keeping;
using Launchd.Host.Listeners;
using Launchd.Host.Upgrading;
using Launchd.Keeper;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Memory;
using Launchd.Linux.Processes;

namespace Launchd.Host.Startup;

/// <summary>
/// What a supervisor before this one has left with the keeper: the state as of its last step, if that can be believed, and descriptors.
/// Owns what was not taken.
/// </summary>
internal sealed class Heritage : IDisposable
{
    private readonly RestoreAnswer _answer;
    private RecordLog? _log;
    private bool _isLogTaken;
    private Dictionary<string, FileDescriptor> _found = [];

    private Heritage(RestoreAnswer answerTaken) => _answer = answerTaken;

    /// <summary>No supervisor was there before this one.</summary>
    public bool IsFirst => _answer.IsFirst;

    /// <summary>What happened before.</summary>
    public RestoreAnswer Answer => _answer;

    /// <summary>The supervisor before this one, and how it ended, for people; null: there was none.</summary>
    public string? FormerEnd
    {
        get
        {
            if (IsAdopted)
                return $"pid {Owner.Pid}, which was killed with its keeper, or had none";
            KeeperHistory history = _answer.History;
            Reaped death = history.LastDeath;
            string hung = history.HasHung != 0 ? $"its loop stood still for {2 * HangWatch.Period / 1_000_000_000} s, " : "";
            return IsFirst ? null : $"pid {history.LastPid}: {hung}{new ExitStatus(death.Code, death.Signal, death.DumpedCore)}";
        }
    }

    /// <summary>What the core goes on with; null: it begins anew, for the reason given.</summary>
    public RestoredState? State { get; private set; }

    /// <summary>Why it begins anew although there was a supervisor before; null: it does not.</summary>
    public string? WhyFresh { get; private set; }

    /// <summary>Asks the keeper. Null: it is gone.</summary>
    public static Heritage? Take(KeeperLink keeper)
    {
        if (keeper.Restore() is not { } answer)
            return null;
        Heritage heritage = new(answer) { UpgradeCaller = answer.Take(Upgrades.CallerName) };
        if (answer.IsFirst)
            return heritage;
        heritage.Unborn = UnbornChildren.End(keeper);
        heritage.WhyFresh = heritage.Read();
        return heritage;
    }

    /// <summary>
    /// Reads the state that a supervisor has left in a file, of which nobody holds anything: then its programs are not this one's children,
    /// and only they have its descriptors.
    /// </summary>
    /// <param name="fileTaken">The state.</param>
    /// <param name="history">Its end.</param>
    public static Heritage OfFile(FileDescriptor fileTaken, KeeperHistory history)
    {
        Dictionary<string, FileDescriptor> held = new(StringComparer.Ordinal) { [StateWriter.StateName] = fileTaken };
        Heritage heritage = new(new RestoreAnswer(held, history, [])) { IsAdopted = true, _found = held };
        heritage.WhyFresh = heritage.Read();
        if (heritage.State is { } state)
            Forgive(state.State);
        return heritage;
    }

    // That a program ended because nobody read its output, and was started again with each supervisor, is not its fault: as with any start
    // of a supervisor, counts begin anew.
    private static void Forgive(SupervisorState state)
    {
        for (int service = 0; service < state.Services.Length; service++)
        {
            state.Services[service] = state.Services[service] with
            {
                Slots = [.. state.Services[service].Slots.Select(s => s with { Starts = [], Attempt = 0 })],
            };
        }
    }

    /// <summary>Nobody has held anything of it: see <see cref="OfFile"/>.</summary>
    public bool IsAdopted { get; private init; }

    /// <summary>The process that has the orphans of the adopted programs; 0: they are not adopted.</summary>
    public int Reaper { get; set; }

    /// <summary>A program was found that has what was held by this name.</summary>
    public void Found(string name, FileDescriptor taken)
    {
        if (!_found.TryAdd(name, taken))
            taken.Dispose();
    }

    /// <summary>The names by which something was held that no program has.</summary>
    public IReadOnlySet<string> LostNames { get; private set; } = new HashSet<string>();

    /// <summary>All was found that there is.</summary>
    public void EndSearch() => LostNames = Notes.Select(n => n.Name).Where(n => !Has(n)).ToHashSet(StringComparer.Ordinal);

    /// <summary>Whether something of this name was found.</summary>
    public bool Has(string name) => _found.ContainsKey(name);

    /// <summary>What the supervisor held, and by what it is recognised.</summary>
    public IReadOnlyList<HeldNote> Notes => _log is null ? [] : [.. StateWriter.NotesIn(_log).Select(n => n.Note)];

    /// <summary>Has all that was found held, and what was not found forgotten.</summary>
    public void GiveTo(IDescriptorKeeper keeper)
    {
        foreach (string lost in LostNames)
            keeper.Drop(lost);
        foreach ((string name, FileDescriptor descriptor) in _answer.Held)
            keeper.Store(name, descriptor);
    }

    /// <summary>Whose state it is: see <see cref="StateWriter.OwnerIn"/>.</summary>
    public (string Mark, int Pid) Owner { get; private set; } = ("", 0);

    /// <summary>The records of instances whose programs were not known to be born.</summary>
    public IEnumerable<(long Number, string Mark)> Unknown
    {
        get
        {
            foreach ((byte kind, long number) in _log?.Keys.ToArray() ?? [])
            {
                if (kind == StateWriter.InstanceKind && InstanceOf(number) is { Pid: 0, Mark: var mark })
                    yield return (number, mark);
            }
        }
    }

    /// <summary>The programs of those that were found, by their numbers.</summary>
    public Dictionary<long, (int Pid, ProcessIdentity Identity)> Newborns { get; } = [];

    /// <summary>
    /// Only reads what a supervisor has left that still goes on: nothing is ended, and nothing changed.
    /// </summary>
    public static Heritage Look(RestoreAnswer answerTaken)
    {
        Heritage heritage = new(answerTaken);
        heritage.WhyFresh = heritage.Read();
        return heritage;
    }

    /// <summary>Whether records that were read are of instances, and cannot be understood; null: none.</summary>
    public string? UnsoundInstance => _log?.Keys.Where(k => k.Kind == StateWriter.InstanceKind && InstanceOf(k.Number) is null)
        .Select(k => $"the record of instance {k.Number} is not sound").FirstOrDefault();

    /// <summary>
    /// The connection of whoever has ordered an upgrade; the keeper has a copy. Owned by whoever goes on with it; null: there is none.
    /// </summary>
    public FileDescriptor? UpgradeCaller { get; init; }

    /// <summary>The version of the supervisor that has handed over to this one; null: none has.</summary>
    public string? FormerVersion => _log is null ? null : StateWriter.FormerVersionIn(_log);

    /// <summary>The records, for the caller to go on with. Null: there are none that are believed.</summary>
    public RecordLog? TakeLog()
    {
        _isLogTaken = State is not null;
        return _isLogTaken ? _log : null;
    }

    /// <summary>What the host knew of an instance; null: nothing.</summary>
    public InstanceRecord? InstanceOf(long number) =>
        _log?.Find(StateWriter.InstanceKind, number) is { } content ? InstanceRecord.TryRead(content) : null;

    /// <summary>Children that had not come to their programs, and were ended: their births are to be repeated.</summary>
    public IReadOnlySet<int> Unborn { get; private set; } = new HashSet<int>();

    /// <summary>The children in whose births the supervisor died, by the numbers of their instances.</summary>
    public IReadOnlyDictionary<long, int> Births { get; private set; } = new Dictionary<long, int>();

    /// <summary>How many effects that must not be carried out twice were carried out of the last step.</summary>
    public int CarriedOut => _log is null ? 0 : StateWriter.CarriedOutIn(_log);

    /// <summary>
    /// Has the keeper let go of what was not taken, and closes it here: nobody asks for it any more. What is opened anew and held by the
    /// same name stays.
    /// </summary>
    public void DropLeft(IDescriptorKeeper keeper)
    {
        foreach (string name in _answer.Names.Where(n => !HeldDescriptors.IsReopened(n)))
            keeper.Drop(name);
        _answer.Dispose();
    }

    public void Dispose()
    {
        if (!_isLogTaken)
            _log?.Dispose();
        _answer.Dispose();
    }

    private string? Read()
    {
        if (_answer.IsDistrusted)
            return "several supervisors have died soon after they went on with it";
        if (_answer.Take(StateWriter.StateName) is not { } file)
            return "it is not there";
        _log = RecordLog.TryTake(file, out string why);
        if (_log is null)
            return why;
        Owner = StateWriter.OwnerIn(_log);
        Dictionary<RecordKey, ReadOnlyMemory<byte>> records = [];
        foreach ((byte kind, long number) in _log.Keys)
        {
            if (kind < StateWriter.InstanceKind && _log.Find(kind, number) is { } content)
                records.Add(new RecordKey((RecordKind)kind, number), content);
        }
        if (!StateReader.TryRead(records, out RestoredState? state, out string? refused))
            return refused;
        using (FileDescriptor? births = _answer.Take(StateWriter.BirthsName))
            Births = births is null ? Births : SharedSlots.Read(births);
        State = state with { State = WithoutClients(state.State) };
        return null;
    }

    // Connections that were accepted and not given to a program yet went with the supervisor that had accepted them.
    private static SupervisorState WithoutClients(SupervisorState state)
    {
        for (int service = 0; service < state.Services.Length; service++)
        {
            if (!state.Services[service].Held.IsEmpty)
                state.Services[service] = state.Services[service] with { Held = [] };
        }
        return state;
    }
}
