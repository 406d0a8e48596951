using Launchd.Client;
using Launchd.Linux.Listening;
using Launchd.Linux.Loop;

namespace Launchd.Host.Channel;

/// <summary>
/// The address of a socket of which others have copies. The kernel tells it under the lock of the socket, which one of
/// them may keep as long as it likes: so another thread asks, and the loop waits for it some milliseconds at most. Once
/// that was in vain, for a second nothing is waited for.
/// </summary>
internal static class AddressLook
{
    /// <summary>A hundred times what it takes on a quiet machine.</summary>
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

    /// <summary>Reads what it is bound to or, failing that, connected to; empty: neither.</summary>
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
                // Its thread did not even come to it: a busy machine, and nobody's doing.
                _asked = null;
                question.Release();
                return false;
            }
            // The next question gets another thread.
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

        /// <summary>It stays open, and its number its own, until <see cref="Release"/>.</summary>
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
                // Our bug, on a thread that has nobody above it; the one who asked goes without.
                return "";
            }
        }
    }
}
