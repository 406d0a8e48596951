using System.Runtime.CompilerServices;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Interop;
using Launchd.Linux.Processes;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Spawning;

/// <summary>
/// Closes descriptors in processes that are made only for that. close(2) of the last copy can wait as long as another process likes, deaf
/// to every signal: for the lock of a pipe or a socket, for a file server. Not even SIGKILL ends a thread that waits so, nor the process of
/// that thread; a separate process keeps nobody from ending. From any thread.
/// </summary>
/// <remarks>
/// The supervisor's copy is never the last: the descriptors are sent into a socket (unix(7)) and closed here while they lie in its queue;
/// only then the process is born that receives them and ends. Sockets do not linger when they are closed so (SO_LINGER).
/// </remarks>
internal sealed unsafe class Closers : IDisposable
{
    private const int SOCK_SEQPACKET = 5;
    private readonly Lock _birth = new();
    private readonly FileDescriptor _nothing;
    private readonly FileDescriptor _gate;
    private readonly List<int> _last = [];
    private bool _isOver;

    /// <param name="nothingTaken">A harmless descriptor (/dev/null).</param>
    /// <remarks>
    /// To be made before there are many descriptors: a closing process gets a copy of all descriptors below the number of the gate.
    /// </remarks>
    public Closers(FileDescriptor nothingTaken)
    {
        _nothing = nothingTaken;
        _gate = nothingTaken.Duplicate();
    }

    /// <summary>
    /// Closes descriptors and waits until they are closed, in a way that SIGKILL can end. False: no process can be made; none is closed.
    /// Also while this is disposed: then without a process.
    /// </summary>
    /// <param name="numbers">
    /// At most <see cref="ControlMessage.MaxDescriptorCount"/>; the caller must not use them any more, unless the result is false.
    /// </param>
    /// <param name="handed">Called when the descriptors are in that process, so that no copy of this process can be the last.</param>
    public bool TryClose(ReadOnlySpan<int> numbers, Action? handed = null)
    {
        if (Send(numbers) is not { } sent)
            return false;
        // If no process could be made after all, the descriptors are closed here, together with the socket in whose queue they lie.
        using (sent)
        using (ProcessHandle? closer = Start(sent))
        {
            handed?.Invoke();
            Reap(closer);
        }
        return true;
    }

    /// <summary>Closes a descriptor as the last act of the supervisor, without waiting for it.</summary>
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
            // Descriptors that cannot be handed over are closed by the kernel when this process ends.
            if (Send(left[at..Math.Min(left.Length, at + ControlMessage.MaxDescriptorCount)]) is not { } sent)
                continue;
            ProcessHandle? closer = Start(sent);
            if (closer is not null)
                sent.Dispose();
        }
        _last.Clear();
        // A thread that closes something may be between the end of its process and the gate: the number would be another's by then.
        lock (_birth)
        {
            _isOver = true;
            _gate.Dispose();
            _nothing.Dispose();
        }
    }

    /// <summary>
    /// Puts descriptors into the queue of a socket, which the caller owns, and closes them here; the queue keeps them open. Null: refused.
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

    /// <summary>
    /// Starts a process that receives what is in the queue and ends. Null: it could not be made, or ended before it had received.
    /// </summary>
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
        lock (_birth)
        {
            if (_isOver)
                return null;
            int above = _gate.Number + 1;
            steps[0] = new Step
            {
                Kind = StepKind.Call, Number = SystemCallNumbers.close_range, A0 = above, A1 = int.MaxValue, A2 = Libc.CLOSE_RANGE_UNSHARE,
            };
            steps[1] = new Step { Kind = StepKind.Call, Number = SystemCallNumbers.recvmsg, A0 = _gate.Number, A1 = (nint)(&message) };
            steps[2] = new Step { Kind = StepKind.Call, Number = SystemCallNumbers.exit_group };
            PlanHeader plan = new() { Steps = steps, Count = 3, ExitNumber = SystemCallNumbers.exit_group };
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

    // No signal tells of this process's end, and no other thread reaps it (waitid(2)). SIGKILL to the supervisor ends this wait.
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
