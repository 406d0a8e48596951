using System.Runtime.ExceptionServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux;

namespace Launchd.Host;

/// <summary>How another thread hands work to the loop: a queue and an eventfd that wakes it.</summary>
internal sealed unsafe class Mailbox : IDisposable
{
    private readonly Lock _lock = new();
    private List<Action> _posted = [];
    private List<Action> _taken = [];

    public Mailbox()
    {
        int number = Libc.eventfd(0, Libc.EFD_CLOEXEC | Libc.EFD_NONBLOCK);
        Wakeup = number >= 0 ? new FileDescriptor(number) : throw new SystemCallException("eventfd", "the loop's mailbox", Errno.Last);
    }

    /// <summary>Readable while something is posted.</summary>
    public FileDescriptor Wakeup { get; }

    /// <summary>From any thread.</summary>
    public void Post(Action action)
    {
        lock (_lock)
        {
            _posted.Add(action);
            if (_posted.Count > 1)
                return;
        }
        ulong one = 1;
        _ = Libc.write(Wakeup.Number, &one, sizeof(ulong));
    }

    /// <summary>On the loop: told what something posted threw, after which the rest is carried out. Null: it is thrown on.</summary>
    public Action<Exception>? OnDefect { get; set; }

    /// <summary>From any thread: has the loop told of what was thrown there.</summary>
    public void Fail(Exception defect) => Post(() => ExceptionDispatchInfo.Throw(defect));

    /// <summary>On the loop: carries out what was posted.</summary>
    public void Deliver()
    {
        ulong count;
        _ = Libc.read(Wakeup.Number, &count, sizeof(ulong));
        lock (_lock)
            (_posted, _taken) = (_taken, _posted);
        try
        {
            foreach (Action action in _taken)
                CarryOut(action);
        }
        finally
        {
            // What was carried out once must not be so again, whatever came of it.
            _taken.Clear();
        }
    }

    private void CarryOut(Action action)
    {
        try
        {
            action();
        }
        catch (Exception defect) when (OnDefect is not null)
        {
            OnDefect(defect);
        }
    }

    public void Dispose() => Wakeup.Dispose();
}
