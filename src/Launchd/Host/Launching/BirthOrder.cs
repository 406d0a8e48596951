using System.Runtime.InteropServices;
using Launchd.Core;
using Launchd.Host.Reporting;
using Launchd.Interop;
using Launchd.Linux.Loop;
using Launchd.Linux.Memory;
using Launchd.Linux.Processes;
using Launchd.Linux.Spawning;
using Launchd.Model;

namespace Launchd.Host.Launching;

/// <summary>
/// One birth, from the loop's order to what became of it. Only the loop uses its members, except where a member says otherwise.
/// </summary>
/// <param name="service">The service whose program, or whose command, is born.</param>
/// <param name="birthTaken">What the birth needs; closed when the program runs, or when it is certain that none will.</param>
/// <param name="work">Done on the thread of the birth. Null: <see cref="Child"/> runs; else why there is no child.</param>
/// <param name="then">Called once, on the loop, when it is known what became of the birth; the callee owns the child.</param>
internal sealed unsafe class BirthOrder(
    ServiceName service, Birth birthTaken, Func<BirthOrder, Spawner, Failure.SpawnFailed?> work, Action<BirthOrder> then) : IDisposable
{
    private int* _own = (int*)NativeMemory.AllocZeroed(sizeof(int));
    private int* _seen;
    private (SharedSlots Slots, int Slot)? _shared;
    private long _takenAt;
    private TimeSpan _awaySinceOrdered, _awaySinceTaken;
    private volatile int _thread;
    private volatile string _waitsFor = "its turn";
    private readonly ManualResetEventSlim _stopped = new(initialState: false, spinCount: 0);
    private Failure.SpawnFailed? _failure;
    private volatile Failure.SpawnFailed? _refusal;
    private volatile bool _isCloning;

    public ServiceName Service => service;

    /// <summary>Gets the pid of the child as soon as there is one, on whichever thread.</summary>
    public int* Seen => _seen == null ? _own : _seen;

    /// <summary>
    /// Has the child write its pid where a supervisor after this one finds it. Before the birth begins. Where no slot is free, only this
    /// supervisor sees the pid.
    /// </summary>
    /// <param name="slots">Borrowed.</param>
    /// <param name="owner">The instance that is born.</param>
    public void Share(SharedSlots slots, long owner)
    {
        if (slots.Take(owner, out int* pid) is not { } slot)
            return;
        _shared = (slots, slot);
        _seen = pid;
    }

    /// <summary>The child's pid; 0: there is none yet. From any thread.</summary>
    public int Pid => Volatile.Read(ref *Seen);

    /// <summary>When it was ordered, in nanoseconds of the monotonic clock.</summary>
    public long OrderedAt { get; } = Clock.MonotonicNanoseconds;

    /// <summary>When a thread took it, in nanoseconds of the monotonic clock; 0: none has. From any thread.</summary>
    public long TakenAt => Volatile.Read(ref _takenAt);

    /// <summary>How long ago it was ordered. Times in which the supervisor was away do not count.</summary>
    public TimeSpan WaitedFor(long now) => Span(OrderedAt, now) - _awaySinceOrdered;

    /// <summary>How long ago a thread took it, likewise. For an order that was taken.</summary>
    public TimeSpan TakenFor(long now) => Span(TakenAt, now) - _awaySinceTaken;

    /// <summary>The supervisor was away until now. What was ordered or taken only after that has not lost any time.</summary>
    public void Allow(TimeSpan away, long now)
    {
        _awaySinceOrdered += Shorter(away, WaitedFor(now));
        // Between the absence and this call a thread may have taken it.
        if (TakenAt != 0)
            _awaySinceTaken += Shorter(away, TakenFor(now));
    }

    /// <summary>
    /// Whether the birth waits for something else than a processor. While the child has not begun its program, the thread of the birth
    /// sleeps, however busy the child is. For an order that was taken, from any thread.
    /// </summary>
    public bool Sleeps => TaskState.OfThread(_thread) != TaskState.Running && (Pid == 0 || TaskState.OfProcess(Pid) != TaskState.Running);

    /// <summary>What the thread of the birth is about to wait for, in words. From any thread.</summary>
    public string WaitsFor { get => _waitsFor; set => _waitsFor = value; }

    /// <summary>
    /// Sentences about what the program is started with. The thread of the birth adds them, and the loop reads them when the birth is over.
    /// </summary>
    public List<string> Warnings { get; } = [];

    /// <summary>The process that was born. The thread of the birth sets it, and the loop reads it when the birth is over.</summary>
    public ProcessHandle? Child { get; set; }

    /// <summary>Why there is no child; null: the child runs, or has ended. For the callee of <see cref="Tell"/>.</summary>
    public Failure.SpawnFailed? Failure => _refusal ?? _failure;

    /// <summary>How the child ended, if the loop heard of its end before it heard of its birth.</summary>
    public Reaped? Ended { get; set; }

    /// <summary>Nobody wants the child any more: the birth is given up as soon as it takes long.</summary>
    public bool IsToEnd { get; set; }

    /// <summary>
    /// The birth was told to have failed before it was over: a child that is born nevertheless is killed. From any thread.
    /// </summary>
    public bool IsGivenUp => _refusal is not null;

    /// <summary>There may be a child whose pid is not known yet. From any thread.</summary>
    public bool IsCloning { get => _isCloning && Pid == 0; set => _isCloning = value; }

    /// <summary>Calls <see cref="LoopSeat.TryLeave"/>. Set if the thread that runs the loop carries out an audited birth.</summary>
    public Func<bool>? LeaveLoopSeat { get; set; }

    /// <summary>Closes what only the birth needed, when it is over. On the loop.</summary>
    public Action? Cleanup { get; init; }

    /// <summary>On the thread that carries it out next.</summary>
    public void Take()
    {
        _thread = Libc.gettid();
        Volatile.Write(ref _takenAt, Clock.MonotonicNanoseconds);
    }

    /// <summary>On the thread of the birth.</summary>
    public void CarryOut(Spawner spawner)
    {
        try
        {
            using (birthTaken)
                _failure = work(this, spawner);
        }
        catch (Exception defect)
        {
            // No caller on this thread would catch the exception, and whoever ordered the birth waits for its outcome.
            _failure = new Failure.SpawnFailed("supervisor", 0, $"cannot start {service}: {Defect.Describe(defect)}")
            {
                IsShortage = defect is OutOfMemoryException,
            };
        }
    }

    /// <summary>
    /// On the thread of the birth: waits until the loop hears that the child has stopped. False, at once: this thread runs the loop
    /// itself, and no other thread could hear of the stop.
    /// </summary>
    public bool AwaitStop()
    {
        if (LeaveLoopSeat?.Invoke() == true)
            return false;
        _stopped.Wait();
        return true;
    }

    /// <summary>Notes that the child has stopped or ended. False: that was noted before.</summary>
    public bool NoteStop()
    {
        bool isFirst = !_stopped.IsSet;
        _stopped.Set();
        return isFirst;
    }

    public void GiveUp(Failure.SpawnFailed refusal) => _refusal = refusal;

    public void Tell() => then(this);

    private static TimeSpan Span(long from, long to) => TimeSpan.FromTicks((to - from) / TimeSpan.NanosecondsPerTick);

    private static TimeSpan Shorter(TimeSpan one, TimeSpan other) => one < other ? one : other;

    public void Dispose()
    {
        // First, because a descriptor stays open as long as the birth borrows it, even if its owner closes it.
        birthTaken.Dispose();
        Cleanup?.Invoke();
        _stopped.Dispose();
        if (_shared is var (slots, slot))
            slots.Free(slot);
        NativeMemory.Free(_own);
        _own = _seen = null;
    }
}
