using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Loop;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Spawning;

/// <summary>
/// A process that writes to one descriptor for the supervisor, one order after the other. A write into a pipe waits, deaf even
/// to SIGKILL, for the process that holds the pipe's lock, and a thread that waits so keeps its whole process from ending. So
/// this is a separate process, which shares only the supervisor's memory and ends with it, or as soon as it can. Closing the
/// last copy of a pipe waits for the same lock; so this process has copies of all descriptors of the pipe, and the
/// supervisor's are never the last. Used by one thread at a time.
/// </summary>
internal sealed unsafe class WriterProcess : IDisposable
{
    /// <summary>Most bytes that one order writes.</summary>
    public const int MostBytes = 64 << 10;

    /// <summary>Highest descriptor that is closed on kernels before Linux 5.9, where descriptors are closed one by one.</summary>
    private const int HighestOfOldKernels = 4095;

    private const int StackBytes = 256 << 10;
    private const int PR_SET_PDEATHSIG = 1, PR_SET_NAME = 15, SIGKILL = 9;

    private readonly Lock _lock = new();
    private readonly FileDescriptor _target;
    private readonly FileDescriptor _orders;
    private readonly FileDescriptor _answers;
    private Memory* _memory;
    private bool _isOver;

    private WriterProcess(FileDescriptor targetTaken, FileDescriptor ordersTaken, FileDescriptor answersTaken, (int, int) kept)
    {
        _target = targetTaken;
        _orders = ordersTaken;
        _answers = answersTaken;
        _memory = (Memory*)NativeMemory.AllocZeroed((nuint)(sizeof(Memory) + MostBytes));
        Lay(_memory, Math.Min(kept.Item1, kept.Item2), Math.Max(kept.Item1, kept.Item2));
    }

    /// <summary>Starts one. Null: it cannot be made.</summary>
    /// <param name="target">Borrowed; open for writing, without waiting.</param>
    /// <param name="kept">
    /// The numbers of two other descriptors of the same pipe, above the standard ones, of which the
    /// process gets copies. They may be the same.
    /// </param>
    public static WriterProcess? TryStart(FileDescriptor target, (int, int) kept)
    {
        if (MakeEvent() is not { } orders)
            return null;
        FileDescriptor? answers = MakeEvent(), copy = Files.Duplicate(target, closer: null, out _);
        if (answers is null || copy is null)
        {
            orders.Dispose();
            answers?.Dispose();
            copy?.Dispose();
            return null;
        }
        WriterProcess writer = new(copy, orders, answers, kept);
        // The thread that is the parent stands still as long as the process lives, and ends with the supervisor.
        if (Worker.TryStart("log writer", StackBytes, writer.Bear) is not null)
            return writer;
        writer.Dispose();
        writer.Ended();
        return null;
    }

    /// <summary>As write(2), at most <see cref="MostBytes"/>. EIO: there is no process any more.</summary>
    /// <param name="bytes">What to write.</param>
    /// <param name="givingUp">When it becomes readable, the answer is not waited for any longer.</param>
    /// <param name="error">EAGAIN also after giving up: then it is not known whether the bytes were written.</param>
    public int Write(ReadOnlySpan<byte> bytes, FileDescriptor givingUp, out Errno error)
    {
        int length = Math.Min(bytes.Length, MostBytes);
        lock (_lock)
        {
            error = _memory == null ? Errno.EIO : Errno.None;
            if (error != Errno.None)
                return -1;
            bytes[..length].CopyTo(new Span<byte>(_memory + 1, MostBytes));
            _memory->Write.A2 = length;
            Signal(_orders);
        }
        Span<Libc.poll_entry> entries =
        [
            new() { fd = _answers.Number, events = Libc.POLLIN },
            new() { fd = givingUp.Number, events = Libc.POLLIN },
        ];
        while (entries[0].revents == 0)
        {
            _ = Libc.poll(ref entries[0], 2, -1);
            error = entries[1].revents != 0 ? Errno.EAGAIN : Errno.None;
            if (error != Errno.None && entries[0].revents == 0)
                return -1;
        }
        ulong count;
        _ = Libc.read(_answers.Number, &count, sizeof(ulong));
        lock (_lock)
        {
            nint result = _memory == null ? -Errno.EIO.Value : _memory->Result;
            error = result < 0 ? new Errno((int)-result) : Errno.None;
            return result < 0 ? -1 : (int)result;
        }
    }

    /// <summary>Lets the process end when it has carried out its order.</summary>
    public void Dispose()
    {
        lock (_lock)
        {
            _isOver = true;
            if (_memory == null)
            {
                _answers.Dispose();
                return;
            }
            _memory->Write.Kind = StepKind.Call;
            _memory->Write.Number = SystemCallNumbers.exit_group;
            _memory->Write.A0 = 0;
            Signal(_orders);
        }
    }

    private void Bear()
    {
        int pid = Spawner.CloneOnce(flags: 0, &_memory->Plan, out int pidfd, out _);
        if (pid >= 0)
        {
            using FileDescriptor born = new(pidfd);
            byte* info = stackalloc byte[Libc.SignalInfoBytes];
            while (Libc.waitid(Libc.P_PIDFD, born.Number, info, Libc.WEXITED | Libc.__WALL) < 0 && Errno.Last == Errno.EINTR)
            {
            }
        }
        Ended();
    }

    private void Ended()
    {
        lock (_lock)
        {
            NativeMemory.Free(_memory);
            _memory = null;
            Signal(_answers);
            if (_isOver)
                _answers.Dispose();
        }
        _target.Dispose();
        _orders.Dispose();
    }

    // The child's own table has the orders at 0, the target at 1, the answers at 2, the two kept
    // descriptors at their own numbers, and nothing else.
    private void Lay(Memory* memory, int first, int second)
    {
        "log writer\0"u8.CopyTo(new Span<byte>(memory->Name, 16));
        memory->One = 1;
        memory->Orders = Call(SystemCallNumbers.dup3, _orders.Number, 0);
        memory->Target = Call(SystemCallNumbers.dup3, _target.Number, 1);
        memory->Answers = Call(SystemCallNumbers.dup3, _answers.Number, 2);
        memory->CloseBelow = Close(3, first - 1);
        memory->CloseBetween = Close(first + 1, second - 1);
        memory->CloseAbove = Close(second + 1, int.MaxValue);
        memory->EndWithUs = Call(SystemCallNumbers.prctl, PR_SET_PDEATHSIG, SIGKILL);
        memory->TakeName = Call(SystemCallNumbers.prctl, PR_SET_NAME, (nint)memory->Name);
        memory->Await = Call(SystemCallNumbers.read, 0, (nint)(&memory->Order), sizeof(ulong));
        memory->Write = Call(SystemCallNumbers.write, 1, (nint)(memory + 1));
        memory->Write.Kind = StepKind.CallKeeping;
        memory->Write.A4 = (nint)(&memory->Result);
        memory->Answer = Call(SystemCallNumbers.write, 2, (nint)(&memory->One), sizeof(ulong));
        memory->Repeat.Kind = StepKind.Repeat;
        memory->Repeat.A0 = (nint)(&memory->Await - &memory->Orders);
        memory->Plan.Steps = &memory->Orders;
        memory->Plan.Count = (int)(&memory->Repeat - &memory->Orders) + 1;
        memory->Plan.ExitNumber = SystemCallNumbers.exit_group;
    }

    private static Step Close(nint from, nint to) => new()
    {
        Kind = StepKind.CloseRange,
        Number = SystemCallNumbers.close_range,
        A0 = from,
        A1 = to,
        A2 = HighestOfOldKernels,
        A3 = SystemCallNumbers.close,
    };

    private static Step Call(nint number, nint first, nint second, nint third = 0) =>
        new() { Kind = StepKind.Call, Number = number, A0 = first, A1 = second, A2 = third };

    private static FileDescriptor? MakeEvent()
    {
        int number = Libc.eventfd(0, Libc.EFD_CLOEXEC);
        return number >= 0 ? new FileDescriptor(number) : null;
    }

    private static void Signal(FileDescriptor wakeup)
    {
        ulong one = 1;
        _ = Libc.write(wakeup.Number, &one, sizeof(ulong));
    }

    /// <summary>What both processes see; the buffer follows it. Freed when the process has ended.</summary>
    private struct Memory
    {
        public PlanHeader Plan;
        public Step Orders;
        public Step Target;
        public Step Answers;
        public Step CloseBelow;
        public Step CloseBetween;
        public Step CloseAbove;
        public Step EndWithUs;
        public Step TakeName;
        public Step Await;
        public Step Write;
        public Step Answer;
        public Step Repeat;
        public ulong Order;
        public ulong One;
        public nint Result;
        public fixed byte Name[16];
    }
}
