using Launchd.Client;
using Launchd.Linux.Listening;
using Launchd.Linux.Loop;

namespace Launchd.Host.Channel;

/// <summary>
/// Reads the address of a socket of which other processes have copies. The kernel takes the lock of the socket for that, and a process with
/// a copy may keep that lock as long as it likes. So another thread asks the kernel, and the loop waits for the answer some milliseconds at
/// most. After it has waited in vain, the loop asks for no address for a second.
/// </summary>
internal static class AddressLook
{
    /// <summary>How long the loop waits: a hundred times what an answer takes on a quiet machine.</summary>
    private const int PatienceMilliseconds = 10;

    private const long PenaltyNanoseconds = 1_000_000_000;

    /// <summary>Threads that may be left behind with a question that does not come back.</summary>
    private const int MostStuck = 16;

    private const int StackBytes = 128 << 10;
    private const int RestMilliseconds = 1000;

    private static readonly object Gate = new();
    private static Question? _asked;
    private static bool _hasThread;
    private static int _stuckCount;
    private static long _noneBefore;

    /// <summary>Reads the address to which a socket is bound or, failing that, connected; empty: neither.</summary>
    /// <param name="socket">Open.</param>
    /// <param name="address">Empty if it is not known.</param>
    /// <returns>False: the kernel has not answered in time, or is not asked at present.</returns>
    public static bool TryRead(FileDescriptor socket, out string address)
    {
        address = "";
        Question question = new(socket);
        lock (Gate)
        {
            if (Clock.MonotonicNanoseconds < _noneBefore || _stuckCount >= MostStuck)
                return false;
            if (!_hasThread && Worker.TryStart("addresses", StackBytes, Run) is null)
                return false;
            _hasThread = true;
            question.Hold();
            _asked = question;
            Monitor.PulseAll(Gate);
            long deadline = Clock.MonotonicNanoseconds + (PatienceMilliseconds * 1_000_000L);
            while (question.Answer is null && Clock.MonotonicNanoseconds < deadline)
                _ = Monitor.Wait(Gate, PatienceMilliseconds);
            if (question.Answer is { } known)
            {
                address = known;
                return true;
            }
            _noneBefore = Clock.MonotonicNanoseconds + PenaltyNanoseconds;
            if (_asked == question)
            {
                // The thread did not even begin with the question: the machine is busy, and no process is to blame.
                _asked = null;
                question.Release();
                return false;
            }
            // The thread is stuck in the kernel: the next question gets another one.
            question.IsLeftBehind = true;
            _stuckCount++;
            _hasThread = false;
            return false;
        }
    }

    private static void Run()
    {
        while (Take() is { } question)
        {
            string answer = question.Ask();
            bool isLeftBehind;
            lock (Gate)
            {
                question.Answer = answer;
                isLeftBehind = question.IsLeftBehind;
                _stuckCount -= isLeftBehind ? 1 : 0;
                Monitor.PulseAll(Gate);
            }
            question.Release();
            if (isLeftBehind)
                return;
        }
    }

    private static Question? Take()
    {
        lock (Gate)
        {
            while (_asked is null)
            {
                if (!Monitor.Wait(Gate, RestMilliseconds) && _asked is null)
                {
                    _hasThread = false;
                    return null;
                }
            }
            Question taken = _asked;
            _asked = null;
            return taken;
        }
    }

    private sealed class Question(FileDescriptor socket)
    {
        /// <summary>Guarded by the gate, as <see cref="IsLeftBehind"/>.</summary>
        public string? Answer { get; set; }
        public bool IsLeftBehind { get; set; }

        /// <summary>Keeps the socket open, so that its number means it, until <see cref="Release"/>.</summary>
        public void Hold()
        {
            bool isHeld = false;
            socket.DangerousAddRef(ref isHeld);
        }

        public void Release() => socket.DangerousRelease();

        public string Ask()
        {
            try
            {
                return ListenerState.AddressOf(socket);
            }
            catch (Exception)
            {
                // A bug of ours, on a thread where nobody would catch it; the asker gets no address.
                return "";
            }
        }
    }
}
