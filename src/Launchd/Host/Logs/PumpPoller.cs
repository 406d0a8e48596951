using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Linux;
using Pump = Launchd.Interop.Libc.Pump;

namespace Launchd.Host.Logs;

/// <summary>The pump's epoll, level-triggered, with an eventfd under the key 0 that other threads wake it by. Owns both.</summary>
internal sealed class PumpPoller : IDisposable
{
    private readonly FileDescriptor _epoll;
    private readonly FileDescriptor _wake;
    private readonly byte[] _events = new byte[64 * 16];
    private readonly byte[] _event = new byte[16];

    /// <exception cref="SystemCallException">The kernel refused.</exception>
    public PumpPoller()
    {
        _epoll = new FileDescriptor(Check("epoll_create1", Pump.epoll_create1(Pump.EPOLL_CLOEXEC)));
        _wake = new FileDescriptor(Check("eventfd", Pump.eventfd(0, Pump.EFD_CLOEXEC | Pump.EFD_NONBLOCK)));
        if (Add(_wake.Number, Pump.EPOLLIN, key: 0) is var error && error != Errno.None)
            throw new SystemCallException("epoll_ctl", "the log pump", error);
    }

    /// <summary>From any thread: the wait returns, now or the next time.</summary>
    public void Wake()
    {
        ReadOnlySpan<byte> one = [1, 0, 0, 0, 0, 0, 0, 0];

        // EAGAIN means that the counter is full, so a wake-up is pending anyway, eventfd(2).
        _ = PumpCalls.Write(_wake.Number, one, out _);
    }

    public void Acknowledge()
    {
        Span<byte> count = stackalloc byte[8];
        _ = PumpCalls.Read(_wake.Number, count, out _);
    }

    /// <summary>Watches; only the pump's thread calls this.</summary>
    public Errno Add(int number, uint events, ulong key)
    {
        Pump.EpollEvents.Write(_event, events, key);
        return Pump.epoll_ctl(_epoll.Number, Pump.EPOLL_CTL_ADD, number, ref _event[0]) < 0 ? Errno.Last : Errno.None;
    }

    public void Remove(int number) => _ = Pump.epoll_ctl(_epoll.Number, Pump.EPOLL_CTL_DEL, number, ref _event[0]);

    /// <summary>
    /// Waits for at most <paramref name="milliseconds"/> (-1: for ever). Returns how many keys are ready, 0 after a signal.
    /// </summary>
    public int Wait(Span<ulong> keys, int milliseconds)
    {
        int most = Math.Min(keys.Length, _events.Length / Pump.EpollEvents.Size);
        int count = Pump.epoll_wait(_epoll.Number, ref MemoryMarshal.GetArrayDataReference(_events), most, milliseconds);
        if (count < 0)
            return Errno.Last == Errno.EINTR ? 0 : throw new SystemCallException("epoll_wait", "the log pump", Errno.Last);
        for (int i = 0; i < count; i++)
            keys[i] = Pump.EpollEvents.ReadData(_events, i);
        return count;
    }

    public void Dispose()
    {
        _wake.Dispose();
        _epoll.Dispose();
    }

    private static int Check(string call, int result) =>
        result >= 0 ? result : throw new SystemCallException(call, "the log pump", Errno.Last);
}
