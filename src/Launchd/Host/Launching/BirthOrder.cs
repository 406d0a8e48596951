using System.Runtime.InteropServices;
using Launchd.Core;
using Launchd.Host.Reporting;
using Launchd.Linux.Loop;
using Launchd.Linux.Processes;
using Launchd.Linux.Spawning;
using Launchd.Model;

namespace Launchd.Host.Launching;

/// <summary>One birth, from the loop's order to what became of it. Everything but what is marked otherwise belongs to the loop.</summary>
/// <param name="service">Whose program it is, or whose command.</param>
/// <param name="birthTaken">What it needs; closed when the program runs, or when there will be none.</param>
/// <param name="work">On the thread of the birth. Null: <see cref="Child"/> runs; else why there is none.</param>
/// <param name="then">On the loop, once, with what became of it; the child is the callee's.</param>
internal sealed unsafe class BirthOrder(
    ServiceName service, Birth birthTaken, Func<BirthOrder, Spawner, Failure.SpawnFailed?> work, Action<BirthOrder> then) : IDisposable
{
    private int* _seen = (int*)NativeMemory.AllocZeroed(sizeof(int));
    private long _takenAt;
    private volatile string _waitsFor = "its turn";
    private readonly ManualResetEventSlim _stopped = new(initialState: false, spinCount: 0);
    private Failure.SpawnFailed? _failure;
    private volatile Failure.SpawnFailed? _refusal;
    private volatile bool _isCloning;

    public ServiceName Service => service;

    /// <summary>Gets the pid of the child as soon as there is one, on whichever thread.</summary>
    public int* Seen => _seen;

    /// <summary>The child's pid; 0: there is none yet. From any thread.</summary>
    public int Pid => Volatile.Read(ref *_seen);

    /// <summary>When it was ordered, in nanoseconds of the monotonic clock.</summary>
    public long OrderedAt { get; } = Clock.MonotonicNanoseconds;

    /// <summary>When a thread took it, in nanoseconds of the monotonic clock; 0: none has. From any thread.</summary>
    public long TakenAt { get => Volatile.Read(ref _takenAt); set => Volatile.Write(ref _takenAt, value); }

    /// <summary>What the thread of the birth is about to wait for, in words. From any thread.</summary>
    public string WaitsFor { get => _waitsFor; set => _waitsFor = value; }

    /// <summary>Set by the thread of the birth, read when that is over.</summary>
    public ProcessHandle? Child { get; set; }

    /// <summary>Null: it runs, or has ended. For <see cref="Tell"/>'s callee.</summary>
    public Failure.SpawnFailed? Failure => _refusal ?? _failure;

    /// <summary>How it ended, where that was heard of before its birth was.</summary>
    public Reaped? Ended { get; set; }

    /// <summary>Nobody wants it any more: it is given up as soon as it takes long.</summary>
    public bool IsToEnd { get; set; }

    /// <summary>It took too long, and was told to have failed: whatever is born of it is killed. From any thread.</summary>
    public bool IsGivenUp => _refusal is not null;

    /// <summary>There may be a child whose pid is not known yet. From any thread.</summary>
    public bool IsCloning { get => _isCloning && Pid == 0; set => _isCloning = value; }

    /// <summary>Set where the thread that runs the loop carries the birth out: <see cref="LoopSeat.TryLeave"/>.</summary>
    public Func<bool>? LeaveLoopSeat { get; set; }

    /// <summary>Closes what only the birth needed, when it is over. On the loop.</summary>
    public Action? Cleanup { get; init; }

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
            // Nobody is above us on this thread, and whoever ordered it waits.
            _failure = new Failure.SpawnFailed("supervisor", 0, $"cannot start {service}: {Defect.Describe(defect)}")
            {
                IsShortage = defect is OutOfMemoryException,
            };
        }
    }

    /// <summary>
    /// On the thread of the birth: waits until the child has stopped, as the loop hears it. False: that thread runs the loop itself, and
    /// no other one hears of it.
    /// </summary>
    public bool AwaitStop()
    {
        if (LeaveLoopSeat?.Invoke() == true)
            return false;
        _stopped.Wait();
        return true;
    }

    /// <summary>It has stopped, or ended. False: it had before.</summary>
    public bool NoteStop()
    {
        bool isFirst = !_stopped.IsSet;
        _stopped.Set();
        return isFirst;
    }

    public void GiveUp(Failure.SpawnFailed refusal) => _refusal = refusal;

    public void Tell() => then(this);

    public void Dispose()
    {
        // First, because what is still borrowed would not be closed by its owner.
        birthTaken.Dispose();
        Cleanup?.Invoke();
        _stopped.Dispose();
        NativeMemory.Free(_seen);
        _seen = null;
    }
}
