using System.Runtime.ExceptionServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;

namespace Launchd.Host.Loop;

/// <summary>How another thread hands work to the loop: a queue and an eventfd that wakes it.</summary>
internal sealed unsafe class Mailbox : IDisposable
{
    /// <summary>
    /// Most actions in one turn of the loop (<see cref="Slice"/>): thousands of answers can come together, and other descriptors must be
    /// handled meanwhile.
    /// </summary>
    public const int MostInATurn = 64;

    private readonly Lock _lock = new();
    private readonly Queue<Action> _posted = new();

    public Mailbox()
    {
        int number = Libc.eventfd(0, Libc.EFD_CLOEXEC | Libc.EFD_NONBLOCK);
        Wakeup = number >= 0 ? new FileDescriptor(number) : throw new SystemCallException("eventfd", "the loop's mailbox", Errno.Last);
    }

    /// <summary>Readable while something is posted.</summary>
    public FileDescriptor Wakeup { get; }

    /// <summary>Has an action carried out on the loop; from any thread.</summary>
    public void Post(Action action)
    {
        lock (_lock)
        {
            _posted.Enqueue(action);
            if (_posted.Count > 1)
                return;
        }
        Wake();
    }

    /// <summary>
    /// Called on the loop with an exception of a posted action, after which the other actions go on. Null: it is thrown on.
    /// </summary>
    public Action<Exception>? OnDefect { get; set; }

    /// <summary>Reports an exception of another thread to the loop; from any thread.</summary>
    public void Fail(Exception defect) => Post(() => ExceptionDispatchInfo.Throw(defect));

    /// <summary>
    /// Called on the loop: carries out posted actions, those beyond the limit in the next turn. Actions that are
    /// posted meanwhile wait for the next turn, too.
    /// </summary>
    public void Deliver()
    {
        ulong count;
        _ = Libc.read(Wakeup.Number, &count, sizeof(ulong));
        int most;
        lock (_lock)
            most = _posted.Count;
        try
        {
            Slice slice = new(MostInATurn);
            while (most-- > 0 && slice.TryTake())
                CarryOut(Take());
        }
        finally
        {
            bool isMore;
            lock (_lock)
                isMore = _posted.Count > 0;
            if (isMore)
                Wake();
        }
    }

    private Action Take()
    {
        lock (_lock)
            return _posted.Dequeue();
    }

    private void Wake()
    {
        ulong one = 1;
        _ = Libc.write(Wakeup.Number, &one, sizeof(ulong));
    }

    /// <summary>On the loop: carries out at once what another thread would have posted.</summary>
    public void CarryOut(Action action)
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
