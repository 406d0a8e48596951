using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Lanes;
using Launchd.Host.Loop;
using Launchd.Interop;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Loop;
using Launchd.Model;

namespace Launchd.Host.Instances;

/// <summary>
/// Notify sockets, watched on the loop. One belongs to one instance at a time; with <c>notify_access = "main"</c> it may serve the next
/// instance of the same slot, because there the sender's pid is checked and a dead main process sends no more. So a
/// restart makes no socket and no file.
/// </summary>
internal sealed class NotifySockets(EventLoop loop, Delays delays, string directory, SlowLanes lanes) : IDisposable
{
    /// <summary>
    /// How long descriptors of strangers may wait to be closed: a burst takes much less, so those that still wait are stuck.
    /// </summary>
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(1);

    /// <summary>What sockaddr_un has room for, but for the NUL behind it (unix(7)).</summary>
    private const int MostPathBytes = 107;

    private readonly Dictionary<(ServiceName Service, int Slot), NotifySocket> _resting = [];

    /// <summary>Called when a message has come for an instance. Set before any instance can be born.</summary>
    public Action<RunningInstance>? OnReadable { get; set; }

    /// <summary>
    /// The socket for a new instance, to be given back with <see cref="Return"/>. It is read only
    /// after <see cref="Listen"/>. Null: refused.
    /// </summary>
    public NotifySocket? Take(RunningInstance instance, out Errno refused)
    {
        refused = Errno.None;
        uint? writer = NotifySender.OnlyWriter(instance);
        if (TakeResting(instance, writer) is { } rested)
            return rested;
        NotifySocket? opened = NotifySocket.Open(directory, instance.Id, lanes, writer, out refused);
        if (opened is null)
            return null;
        // Who may speak cannot be told before the instance has a process: the socket is read from the birth on.
        refused = Serve(opened, instance, IoReadiness.None);
        if (refused != Errno.None)
            return null;
        Keeper?.Store(NameOf(opened.Path), opened.Descriptor);
        return opened;
    }

    /// <summary>
    /// Holds copies of the sockets for a supervisor after this one: each from its opening to its end, whichever instances it serves. Null:
    /// nobody does.
    /// </summary>
    public IDescriptorKeeper? Keeper { get; set; }

    /// <summary>The name by which a socket is held.</summary>
    /// <param name="path">Where it is bound: the last part is its alone.</param>
    public static string NameOf(string path) => $"notify.{Path.GetFileName(path)}";

    // Messages that were sent before the instance was born came from nobody who may speak for it, even if a pid
    // in them is now its own: they are thrown away.
    private NotifySocket? TakeResting(RunningInstance instance, uint? writer)
    {
        if (!_resting.Remove((instance.Id.Service, instance.Slot), out NotifySocket? socket))
            return null;
        if (socket.Writer != writer || !socket.TryEmpty())
        {
            Close(socket);
            return null;
        }
        socket.Owner = instance;
        if (instance.Access == NotifyAccess.All)
            socket.NameSenders();
        loop.Change(socket.Descriptor, IoReadiness.None);
        return socket;
    }

    /// <summary>
    /// The socket that a running program has from a supervisor before this one; it is read only after <see cref="Listen"/>.
    /// </summary>
    /// <param name="instance">Whose it is.</param>
    /// <param name="descriptorTaken">The socket.</param>
    /// <param name="path">Where it is bound.</param>
    /// <param name="writer">As <see cref="NotifySocket.Writer"/>.</param>
    public NotifySocket? Resume(RunningInstance instance, FileDescriptor descriptorTaken, string path, uint? writer)
    {
        NotifySocket held = NotifySocket.Resume(descriptorTaken, path, instance.Id.Service, lanes, writer);
        return Serve(held, instance, IoReadiness.None) == Errno.None ? held : null;
    }

    /// <summary>The socket's instance is born: its messages are read from now on.</summary>
    public void Listen(NotifySocket socket) => loop.Change(socket.Descriptor, IoReadiness.Readable);

    /// <param name="instance">An instance that is over.</param>
    /// <param name="socketTaken">Its socket.</param>
    /// <param name="mayServeAgain">Its main process was reaped and no other process could speak for it.</param>
    public void Return(RunningInstance instance, NotifySocket socketTaken, bool mayServeAgain)
    {
        socketTaken.Owner = null;
        if (mayServeAgain && _resting.TryAdd((instance.Id.Service, instance.Slot), socketTaken))
        {
            loop.Change(socketTaken.Descriptor, IoReadiness.Readable);
            return;
        }
        Close(socketTaken);
    }

    /// <summary>
    /// The directory of the sockets was removed and made again. A running program sends to its socket by path, so another socket is bound
    /// there; what was sent to the former one is read first.
    /// </summary>
    /// <param name="instances">All that there are.</param>
    /// <returns>How many could not be bound.</returns>
    public int Restore(IEnumerable<RunningInstance> instances)
    {
        foreach (ServiceName service in _resting.Keys.Select(k => k.Service).Distinct().ToArray())
            Forget(service);
        int lost = 0;
        // What is read may end an instance, which gives its socket back.
        foreach (RunningInstance instance in instances.ToArray())
        {
            if (instance is { Notify: not null, Process: not null })
                OnReadable?.Invoke(instance);
            if (instance.Notify is not { } former)
                continue;
            Close(former);
            instance.Notify = Rebind(instance, former.Path, former.Writer);
            if (instance is { Notify: { } made, Process: not null })
                Listen(made);
            lost += instance.Notify is null ? 1 : 0;
        }
        return lost;
    }

    /// <summary>
    /// Binds a socket in the place of one that nobody has any more, at the path that a running program knows; it is read only after
    /// <see cref="Listen"/>. Null: it cannot be.
    /// </summary>
    /// <param name="instance">Whose it is.</param>
    /// <param name="path">In this supervisor's directory of such sockets, or nothing is bound.</param>
    /// <param name="writer">As <see cref="NotifySocket.Writer"/>.</param>
    public NotifySocket? Rebind(RunningInstance instance, string path, uint? writer)
    {
        if (Path.GetDirectoryName(path) != directory || KernelText.ByteCount(path) > MostPathBytes
            || NotifySocket.Open(path, instance.Id.Service, lanes, writer, out _) is not { } made
            || Serve(made, instance, IoReadiness.None) != Errno.None)
        {
            return null;
        }
        Keeper?.Store(NameOf(path), made.Descriptor);
        return made;
    }

    private Errno Serve(NotifySocket socket, RunningInstance instance, IoReadiness what)
    {
        if (instance.Access == NotifyAccess.All)
            socket.NameSenders();
        socket.Owner = instance;
        Errno refused = loop.Watch(socket.Descriptor, what, LoopPriority.Notify, _ => Read(socket));
        if (refused != Errno.None)
            socket.Dispose();
        return refused;
    }

    /// <summary>Closes the resting sockets of a service, or of one of its slots, that will have no instance any more.</summary>
    public void Forget(ServiceName service, int? slot = null)
    {
        (ServiceName Service, int Slot)[] keys =
            [.. _resting.Keys.Where(k => k.Service == service && (slot is null || k.Slot == slot))];
        foreach ((ServiceName Service, int Slot) key in keys)
        {
            _resting.Remove(key, out NotifySocket? socket);
            Close(socket!);
        }
    }

    private void Close(NotifySocket socket)
    {
        loop.Unwatch(socket.Descriptor);
        Keeper?.Drop(NameOf(socket.Path));
        socket.Dispose();
    }

    public void Dispose()
    {
        foreach (NotifySocket socket in _resting.Values)
        {
            loop.Unwatch(socket.Descriptor);
            socket.Dispose();
        }
        _resting.Clear();
    }

    /// <summary>
    /// Whether too many descriptors that came by the socket still wait to be closed; it is then not read until <see cref="Ease"/>.
    /// </summary>
    public bool IsHeldUp(NotifySocket socket)
    {
        if (!socket.IsHeldUp)
            return false;
        loop.Change(socket.Descriptor, IoReadiness.None);
        if (socket.IsHeldUpByStrangers && !socket.IsPatient)
        {
            socket.IsPatient = true;
            delays.After(Patience, socket, () =>
            {
                socket.IsPatient = false;
                if (socket.RefuseDescriptors())
                    loop.Change(socket.Descriptor, IoReadiness.Readable);
            });
        }
        return true;
    }

    /// <summary>Descriptors that a service sent were closed: its sockets are read again.</summary>
    /// <param name="service">The service whose sockets may be read.</param>
    /// <param name="inUse">Its sockets that have an owner.</param>
    public void Ease(ServiceName service, IEnumerable<NotifySocket> inUse)
    {
        foreach (NotifySocket socket in inUse.Concat(_resting.Where(r => r.Key.Service == service).Select(r => r.Value)))
        {
            socket.Ease();
            socket.IsPatient = false;
            delays.Cancel(socket);
            loop.Change(socket.Descriptor, IoReadiness.Readable);
        }
    }

    private void Read(NotifySocket socket)
    {
        if (socket.Owner is { } owner)
        {
            OnReadable?.Invoke(owner);
            return;
        }
        for (int i = 0; i < Limits.MessagesPerTurn; i++)
        {
            if (IsHeldUp(socket))
                return;
            using NotifyMessage unowned = socket.Receive();
            if (!unowned.IsThere)
                return;
        }
    }
}
