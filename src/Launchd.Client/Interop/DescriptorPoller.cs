using System.Collections.Concurrent;
using System.Runtime.InteropServices;

namespace Launchd.Client.Interop;

/// <summary>
/// Waits for descriptors without touching their flags: one epoll(7) and one background thread for the process, made at the first wait,
/// asleep while nothing happens. .NET's own sockets cannot be used for that: they set O_NONBLOCK, which every holder of a shared
/// descriptor would see, and they know neither pidfds nor pipes.
/// </summary>
#pragma warning disable CA1001 // It lives as long as the process, and so does its descriptor.
internal sealed unsafe class DescriptorPoller
#pragma warning restore CA1001
{
    private const int Batch = 64;

    // epoll_ctl(2): packed on x86-64 alone.
    private static readonly int DataOffset = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 4 : 8;
    private static readonly int EventBytes = DataOffset + sizeof(long);
    private static readonly Lazy<DescriptorPoller> Shared = new(() => new DescriptorPoller());

    private readonly ConcurrentDictionary<long, Waiter> _waiters = new();
    private readonly FileDescriptor _epoll;
    private long _last;

    private DescriptorPoller()
    {
        _epoll = new FileDescriptor(Check(ClientLibc.epoll_create1(ClientLibc.EPOLL_CLOEXEC), "epoll_create1"));
        new Thread(Run) { IsBackground = true, Name = "Launchd.Client" }.Start();
    }

    /// <summary>Done when the descriptor can be read (or has come to its end, or failed).</summary>
    public static Task Readable(SafeHandle descriptor, CancellationToken cancellation) =>
        Shared.Value.Wait(descriptor, ClientLibc.EPOLLIN, cancellation);

    /// <summary>Done when the descriptor can be written (or its other end is gone).</summary>
    public static Task Writable(SafeHandle descriptor, CancellationToken cancellation) =>
        Shared.Value.Wait(descriptor, ClientLibc.EPOLLOUT, cancellation);

    /// <summary>Done when the other end is gone: EPOLLHUP and EPOLLERR come unasked.</summary>
    public static Task HungUp(SafeHandle descriptor, CancellationToken cancellation) => Shared.Value.Wait(descriptor, 0, cancellation);

    /// <summary>How many waits are under way, for tests.</summary>
    public static int WaitingCount => Shared.IsValueCreated ? Shared.Value._waiters.Count : 0;

    private static int Check(int result, string call) =>
        result >= 0 ? result : throw LaunchdException.Kernel(call, Errno.Last);

    private Task Wait(SafeHandle descriptor, uint events, CancellationToken cancellation)
    {
        if (cancellation.IsCancellationRequested)
            return Task.FromCanceled(cancellation);
        // A duplicate of its own: the caller may close its number meanwhile, and two waits for one descriptor do not collide.
        FileDescriptor duplicate;
        using (var borrowed = new Borrowed(descriptor))
        {
            duplicate = new FileDescriptor(
                Check(ClientLibc.fcntl(borrowed.Number, ClientLibc.F_DUPFD_CLOEXEC, 3), "fcntl(F_DUPFD_CLOEXEC)"));
        }
        long key = Interlocked.Increment(ref _last);
        var waiter = new Waiter(this, key, duplicate);
        _waiters[key] = waiter;
        byte* request = stackalloc byte[EventBytes];
        *(uint*)request = events | ClientLibc.EPOLLONESHOT;
        *(long*)(request + DataOffset) = key;
        if (ClientLibc.epoll_ctl(_epoll.Number, ClientLibc.EPOLL_CTL_ADD, duplicate.Number, request) != 0)
        {
            Errno refused = Errno.Last;
            _ = _waiters.TryRemove(key, out _);
            duplicate.Dispose();
            // EPERM: a regular file or memory, which is always ready.
            return refused == Errno.EPERM ? Task.CompletedTask : Task.FromException(LaunchdException.Kernel("epoll_ctl", refused));
        }
        waiter.CancelWith(cancellation);
        return waiter.Task;
    }

    private void Run()
    {
        byte* events = stackalloc byte[Batch * EventBytes];
        while (true)
        {
            int count = ClientLibc.epoll_wait(_epoll.Number, events, Batch, -1);
            if (count < 0 && Errno.Last != Errno.EINTR)
                throw LaunchdException.Kernel("epoll_wait", Errno.Last);
            for (int i = 0; i < count; i++)
            {
                if (_waiters.TryRemove(*(long*)(events + i * EventBytes + DataOffset), out Waiter? waiter))
                    waiter.Finish();
            }
        }
    }

    /// <summary>One wait. The event or the cancellation ends it, whichever takes it out of the table first.</summary>
    private sealed class Waiter(DescriptorPoller owner, long key, FileDescriptor duplicateTaken)
        : TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        private CancellationTokenRegistration _cancelling;
        private int _ends;

        public void CancelWith(CancellationToken cancellation)
        {
            if (!cancellation.CanBeCanceled)
                return;
            _cancelling = cancellation.UnsafeRegister(static (state, token) => ((Waiter)state!).Cancel(token), this);
            // The event may have come before the registration was stored: then nobody has disposed it yet.
            if (Volatile.Read(ref _ends) != 0)
                _cancelling.Unregister();
        }

        public void Finish()
        {
            Close();
            _cancelling.Unregister();
            SetResult();
        }

        private void Cancel(CancellationToken token)
        {
            if (!owner._waiters.TryRemove(key, out _))
                return;
            Close();
            SetCanceled(token);
        }

        private void Close()
        {
            Volatile.Write(ref _ends, 1);
            // epoll(7): the registration belongs to the open file description, and would outlive the number.
            _ = ClientLibc.epoll_ctl(owner._epoll.Number, ClientLibc.EPOLL_CTL_DEL, duplicateTaken.Number, null);
            duplicateTaken.Dispose();
        }
    }
}
