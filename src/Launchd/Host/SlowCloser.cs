using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Linux;

namespace Launchd.Host;

/// <summary>
/// Closes descriptors that came from programs. Where that may take time, a thread of its own does it, which is made at the first such
/// descriptor: a program must not keep the loop waiting by what it sends.
/// </summary>
internal sealed class SlowCloser
{
    private readonly Queue<FileDescriptor> _slow = [];
    private Thread? _thread;

    public void Close(FileDescriptor taken)
    {
        if (!Closing.MayBlock(taken))
        {
            taken.Dispose();
            return;
        }
        lock (_slow)
        {
            _slow.Enqueue(taken);
            Monitor.Pulse(_slow);
        }
        if (_thread is not null)
            return;
        _thread = new Thread(Work, 64 << 10) { IsBackground = true, Name = "closer" };
        _thread.Start();
    }

    /// <summary>All of a message that were not taken.</summary>
    public void Close(ReceivedDescriptors left)
    {
        for (int i = 0; i < left.Count; i++)
        {
            if (left[i] is not null)
                Close(left.Take(i));
        }
    }

    // Never ends: what still lingers when the supervisor ends is the kernel's.
    private void Work()
    {
        while (true)
        {
            FileDescriptor next;
            lock (_slow)
            {
                while (_slow.Count == 0)
                    Monitor.Wait(_slow);
                next = _slow.Dequeue();
            }
            next.Dispose();
        }
    }
}
