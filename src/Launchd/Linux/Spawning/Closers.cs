using System.Runtime.CompilerServices;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Interop;
using Launchd.Linux.Processes;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Spawning;

/// <summary>
/// Closes descriptors in processes that are made for it and do nothing else. close(2) of the last copy can wait for as long as a stranger
/// likes without hearing any signal: for the lock of a pipe, of a socket, for a server of files. A thread that waits so is not ended by
/// SIGKILL, and neither is its process; a process of its own keeps nobody. From any thread.
/// </summary>
/// <remarks>
/// How none of ours is ever the last copy: the descriptors are sent into a socket (unix(7)) and closed here while they lie in it; only then
/// the process is born that receives them and ends. What ends does not linger either (SO_LINGER).
/// </remarks>
internal sealed unsafe class Closers : IDisposable
{
    private const int SOCK_SEQPACKET = 5;
    private readonly Lock _birth = new();
    private readonly FileDescriptor _nothing;
    private readonly FileDescriptor _gate;
    private readonly List<int> _last = [];

    /// <param name="nothingTaken">A harmless descriptor (/dev/null).</param>
    /// <remarks>
    /// Made before there are many descriptors: a process that closes gets a copy of all whose number is below that of the gate.
    /// </remarks>
    public Closers(FileDescriptor nothingTaken)
    {
        _nothing = nothingTaken;
        _gate = nothingTaken.Duplicate();
    }

    /// <summary>
    /// Closes them, and waits until that is done, but so that it can be killed. False: no process can be made; none of them is closed.
    /// </summary>
    /// <param name="numbers">
    /// At most <see cref="ControlMessage.MaxDescriptorCount"/>; not used any more by the caller unless it is false.
    /// </param>
    /// <param name="handed">Called when they are in that process, so that nothing of ours can be the last that has them.</param>
    public bool TryClose(ReadOnlySpan<int> numbers, Action? handed = null)
    {
        if (Send(numbers) is not { } sent)
            return false;
        // Where no process could be made after all, the queue is closed with its socket, here.
        using (sent)
        using (ProcessHandle? closer = Start(sent))
        {
            handed?.Invoke();
            Reap(closer);
        }
        return true;
    }

    /// <summary>Closes it when everything else is done, at the end of the supervisor, and does not wait for that.</summary>
    public void CloseLast(int numberTaken)
    {
        lock (_last)
            _last.Add(numberTaken);
    }

    public void Dispose()
    {
        Span<int> left = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_last);
        for (int at = 0; at < left.Length; at += ControlMessage.MaxDescriptorCount)
        {
            // What cannot be handed over is left to the kernel.
            if (Send(left[at..Math.Min(left.Length, at + ControlMessage.MaxDescriptorCount)]) is not { } sent)
                continue;
            ProcessHandle? closer = Start(sent);
            if (closer is not null)
                sent.Dispose();
        }
        _last.Clear();
        _gate.Dispose();
        _nothing.Dispose();
    }

    /// <summary>
    /// Puts them into the queue of a socket, which the caller owns, and closes them; they are open as long as it is. Null: refused.
    /// </summary>
    private static FileDescriptor? Send(ReadOnlySpan<int> numbers)
    {
        int* ends = stackalloc int[2];
        if (socketpair(Libc.AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
            return null;
        using FileDescriptor near = new(ends[0]);
        FileDescriptor far = new(ends[1]);
        if (MessageCalls.TrySend(near, "x"u8, numbers, out _) != Errno.None)
        {
            far.Dispose();
            return null;
        }
        foreach (int number in numbers)
            _ = ClientLibc.close(number);
        return far;
    }

    /// <summary>A process that receives what is in the queue and ends. Null: it could not be made, or did not come so far.</summary>
    private ProcessHandle? Start(FileDescriptor queue)
    {
        // Below this frame the child has the stack to itself, and lives until it has received.
        nuint* control = stackalloc nuint[ControlMessage.ReceiveBytes / sizeof(nuint)];
        byte* nothing = stackalloc byte[8];
        Libc.iovec vector = new() { iov_base = nothing, iov_len = 1 };
        Libc.msghdr message = new()
        {
            msg_iov = &vector, msg_iovlen = 1, msg_control = control, msg_controllen = (nuint)ControlMessage.ReceiveBytes,
        };
        Step* steps = stackalloc Step[3];
        int above = _gate.Number + 1;
        steps[0] = new Step
        {
            Kind = StepKind.Call, Number = SystemCallNumbers.close_range, A0 = above, A1 = int.MaxValue, A2 = Libc.CLOSE_RANGE_UNSHARE,
        };
        steps[1] = new Step { Kind = StepKind.Call, Number = SystemCallNumbers.recvmsg, A0 = _gate.Number, A1 = (nint)(&message) };
        steps[2] = new Step { Kind = StepKind.Call, Number = SystemCallNumbers.exit_group };
        PlanHeader plan = new() { Steps = steps, Count = 3, ExitNumber = SystemCallNumbers.exit_group };
        lock (_birth)
        {
            int pid = -1, pidfd = -1;
            if (RuntimeHelpers.TryEnsureSufficientExecutionStack() && Libc.dup3(queue.Number, _gate.Number, Libc.O_CLOEXEC) >= 0)
                pid = Spawner.CloneOnce(Libc.CLONE_FILES, &plan, out pidfd, out _);
            _ = Libc.dup3(_nothing.Number, _gate.Number, Libc.O_CLOEXEC);
            if (pid < 0)
                return null;
            ProcessHandle born = new(pid, new FileDescriptor(pidfd));
            if (plan.Errno == 0)
                return born;
            Reap(born);
            born.Dispose();
            return null;
        }
    }

    // No signal tells of its end, and nobody else reaps it (waitid(2)). This wait ends with the process that waits.
    private static void Reap(ProcessHandle? closer)
    {
        if (closer is null)
            return;
        byte* info = stackalloc byte[128];
        while (Libc.waitid(Libc.P_PIDFD, closer.Descriptor.Number, info, Libc.WEXITED | Libc.__WALL) < 0 && Errno.Last == Errno.EINTR)
        {
        }
    }
}
