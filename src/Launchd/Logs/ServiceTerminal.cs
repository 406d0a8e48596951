using System.Buffers.Text;
using Launchd.Client;
using Launchd.Linux.Loop;
using Launchd.Linux.Sockets;
using Launchd.Linux.Terminals;

namespace Launchd.Logs;

/// <summary>How an operator looks at the terminal of an instance.</summary>
/// <param name="MayType">What comes from the viewer goes to the program; else nothing is read from the viewer.</param>
/// <param name="IsOwner">The viewer is root or the supervisor's own user: another one makes room for it.</param>
/// <param name="Size">Columns and rows of the viewer's terminal; null: the size stays as it is.</param>
internal readonly record struct TerminalView(bool MayType, bool IsOwner, (int Columns, int Rows)? Size);

/// <summary>
/// The pseudo-terminal of an instance, and the operators who look at it. The newest output is kept in one ring, in which each viewer has
/// its place: one that does not read keeps nobody waiting, and is shown the newest when it reads again. Belongs to the pump's thread, and
/// nothing here waits.
/// </summary>
/// <param name="loop">Watches the viewers.</param>
/// <param name="master">Non-blocking; borrowed.</param>
/// <param name="places">Shared by all terminals of the pump.</param>
/// <param name="slaveTaken">Held, so that the terminal does not end while the program closes its end and opens it anew.</param>
internal sealed class ServiceTerminal(EventLoop loop, ViewerPlaces places, FileDescriptor master, FileDescriptor slaveTaken) : IDisposable
{
    /// <summary>Of one terminal; those who are no owners have <see cref="ViewerPlaces"/> besides.</summary>
    public const int MostViewers = 8;

    /// <summary>What a viewer is shown first of what was written before.</summary>
    public const int ShownBytes = 4 << 10;

    /// <summary>How far a viewer may be behind.</summary>
    public const int RingBytes = 256 << 10;

    /// <summary>Longest text of one packet, in both directions.</summary>
    public const int PacketBytes = 4 << 10;

    private const int MostSide = 9999;

    private readonly List<Viewer> _viewers = [];
    private byte[] _ring = new byte[ShownBytes];
    private byte[] _packet = [];

    /// <summary>How much was written since the beginning.</summary>
    private long _written;

    /// <summary>A second number of the master, watched while it takes nothing of what was typed.</summary>
    private FileDescriptor? _writable;

    /// <summary>Takes what the program has written.</summary>
    public void Show(ReadOnlySpan<byte> output)
    {
        for (ReadOnlySpan<byte> rest = output; !rest.IsEmpty;)
        {
            int at = (int)(_written % _ring.Length);
            int count = Math.Min(rest.Length, _ring.Length - at);
            rest[..count].CopyTo(_ring.AsSpan(at));
            _written += count;
            rest = rest[count..];
        }
        for (int i = _viewers.Count - 1; i >= 0; i--)
            Send(_viewers[i]);
    }

    /// <summary>
    /// Adds a viewer, who is shown the last lines and then what comes. False: there are too many; the socket is closed.
    /// </summary>
    /// <param name="socketTaken">One end of a pair that keeps packets apart; its every call here is made without waiting.</param>
    /// <param name="view">What it may do.</param>
    public bool TryAttach(FileDescriptor socketTaken, in TerminalView view)
    {
        if (_viewers.Count >= MostViewers && view.IsOwner && _viewers.Find(v => !v.IsOwner) is { } other)
            Leave(other);
        if (_viewers.Count >= MostViewers || (!view.IsOwner && places.AreTaken))
        {
            socketTaken.Dispose();
            return false;
        }
        Viewer viewer = new(socketTaken, view.IsOwner, view.MayType);
        // Nothing can be sent to it any more: bytes that nobody reads, and descriptors, would wait in its queue.
        if (!view.MayType)
            UnixSocket.EndReading(socketTaken);
        if (loop.Watch(socketTaken, Wanted(viewer), priority: 1, ready => Serve(viewer, ready)) != Errno.None)
        {
            socketTaken.Dispose();
            return false;
        }
        if (_viewers.Count == 0)
            SetRing(RingBytes);
        viewer.Seen = FirstShown();
        _viewers.Add(viewer);
        places.Strangers += view.IsOwner ? 0 : 1;
        if (view.MayType && view.Size is (int columns, int rows))
            Resize(columns, rows);
        Send(viewer);
        return true;
    }

    /// <summary>The instance is over: the viewers are told so, and leave.</summary>
    public void End()
    {
        foreach (Viewer viewer in _viewers.ToArray())
        {
            Send(viewer);
            _ = PumpCalls.Send(viewer.Socket.Number, "e"u8, out _);
            Leave(viewer);
        }
    }

    /// <summary>Closes the program's end. That may wait for whoever is in a call on the terminal.</summary>
    public void Dispose() => slaveTaken.Dispose();

    private static IoReadiness Wanted(Viewer viewer) =>
        (viewer.MayType && viewer.Typed.IsEmpty ? IoReadiness.Readable : IoReadiness.None)
        | (viewer.IsBehind ? IoReadiness.Writable : IoReadiness.None);

    /// <summary>Where the last lines begin: behind the first newline of what is kept, unless all of it is one line.</summary>
    private long FirstShown()
    {
        long first = Math.Max(0, _written - ShownBytes);
        for (long at = first; first > 0 && at < _written; at++)
        {
            if (_ring[at % _ring.Length] == (byte)'\n')
                return at + 1 < _written ? at + 1 : first;
        }
        return first;
    }

    private void SetRing(int bytes)
    {
        byte[] next = new byte[bytes];
        for (long at = Math.Max(0, _written - Math.Min(bytes, _ring.Length)); at < _written; at++)
            next[at % bytes] = _ring[at % _ring.Length];
        _ring = next;
        _packet = bytes == RingBytes ? new byte[1 + PacketBytes] : [];
    }

    private void Serve(Viewer viewer, IoReadiness ready)
    {
        if (viewer.IsGone)
            return;
        if (ready.HasFlag(IoReadiness.HungUp) && !ready.HasFlag(IoReadiness.Readable))
        {
            Leave(viewer);
            return;
        }
        if (ready.HasFlag(IoReadiness.Writable))
            Send(viewer);
        if (!viewer.IsGone && viewer.MayType && ready.HasFlag(IoReadiness.Readable))
            Receive(viewer);
    }

    /// <summary>Sends what the viewer has not seen, as far as its queue takes it.</summary>
    private void Send(Viewer viewer)
    {
        bool wasBehind = viewer.IsBehind;
        viewer.IsBehind = false;
        if (_written - viewer.Seen > _ring.Length)
        {
            long first = FirstShown();
            viewer.Lost += first - viewer.Seen;
            viewer.Seen = first;
        }
        while (viewer.Lost > 0 || viewer.Seen < _written)
        {
            int count = viewer.Lost > 0 ? 0 : (int)Math.Min(PacketBytes, _written - viewer.Seen);
            if (PumpCalls.Send(viewer.Socket.Number, Packet(viewer, count), out Errno error) < 0)
            {
                viewer.IsBehind = error == Errno.EAGAIN;
                if (viewer.IsBehind)
                    break;
                // It has left. What it typed before may wait in its socket, and is followed by the end.
                if (!viewer.MayType || (error != Errno.EPIPE && error != Errno.ECONNRESET))
                {
                    Leave(viewer);
                    return;
                }
                (viewer.Lost, viewer.Seen) = (0, long.MaxValue);
                break;
            }
            viewer.Lost = 0;
            viewer.Seen += count;
        }
        if (viewer.IsBehind != wasBehind)
            loop.Change(viewer.Socket, Wanted(viewer));
    }

    /// <summary>The next packet: so much output, or how much was lost.</summary>
    private ReadOnlySpan<byte> Packet(Viewer viewer, int count)
    {
        if (viewer.Lost > 0)
        {
            _packet[0] = (byte)'l';
            _ = Utf8Formatter.TryFormat(viewer.Lost, _packet.AsSpan(1), out int digits);
            return _packet.AsSpan(0, 1 + digits);
        }
        _packet[0] = (byte)'o';
        int at = (int)(viewer.Seen % _ring.Length);
        int first = Math.Min(count, _ring.Length - at);
        _ring.AsSpan(at, first).CopyTo(_packet.AsSpan(1));
        _ring.AsSpan(0, count - first).CopyTo(_packet.AsSpan(1 + first));
        return _packet.AsSpan(0, 1 + count);
    }

    private void Receive(Viewer viewer)
    {
        using Received received = UnixSocket.Receive(viewer.Socket, _packet);
        // A viewer that left without reading all that it was shown: what it typed before follows.
        if (received.Outcome is ReceiveOutcome.WouldBlock or ReceiveOutcome.Reset)
            return;
        bool isGood = received is { Outcome: ReceiveOutcome.Message, IsTruncated: false, Length: > 0 };
        ReadOnlySpan<byte> text = isGood ? _packet.AsSpan(1, received.Length - 1) : [];
        if (isGood && _packet[0] == 'i')
            Type(viewer, text);
        else if (isGood && _packet[0] == 'w' && TryReadSize(text, out int columns, out int rows))
            Resize(columns, rows);
        else
            Leave(viewer);
    }

    private static bool TryReadSize(ReadOnlySpan<byte> text, out int columns, out int rows)
    {
        rows = 0;
        return Utf8Parser.TryParse(text, out columns, out int digits) && digits < text.Length && text[digits] == ' '
            && Utf8Parser.TryParse(text[(digits + 1)..], out rows, out int others) && digits + 1 + others == text.Length;
    }

    private void Resize(int columns, int rows)
    {
        if (columns is >= 1 and <= MostSide && rows is >= 1 and <= MostSide)
            // A refusal leaves the size as it was, which the program shows best.
            _ = PseudoTerminal.TryResize(master, columns, rows);
    }

    /// <summary>
    /// Types what the terminal takes. The rest waits, and meanwhile nothing more is read from the viewer: its program does not read, or
    /// stands still.
    /// </summary>
    private void Type(Viewer viewer, ReadOnlySpan<byte> text)
    {
        while (!text.IsEmpty)
        {
            int count = PumpCalls.Write(master.Number, text, out Errno error);
            if (error == Errno.EAGAIN)
            {
                if (AwaitRoom())
                {
                    viewer.Typed = text.ToArray();
                    loop.Change(viewer.Socket, Wanted(viewer));
                }
                else
                {
                    // No descriptor is left. Cut off, the viewer knows that its text has not all been typed.
                    Leave(viewer);
                }
                return;
            }
            // EIO: nobody reads the terminal any more, and its end follows.
            if (count <= 0)
                return;
            text = text[count..];
        }
    }

    private bool AwaitRoom()
    {
        if (_writable is not null)
            return true;
        FileDescriptor? again = PumpCalls.Duplicate(master.Number, out _);
        if (again is not null && loop.Watch(again, IoReadiness.Writable, priority: 1, _ => TypeWaiting()) == Errno.None)
        {
            _writable = again;
            return true;
        }
        again?.Dispose();
        return false;
    }

    private void TypeWaiting()
    {
        foreach (Viewer viewer in _viewers.ToArray())
        {
            if (viewer.Typed.IsEmpty)
                continue;
            ReadOnlyMemory<byte> typed = viewer.Typed;
            viewer.Typed = default;
            Type(viewer, typed.Span);
            if (!viewer.Typed.IsEmpty)
                return;
            loop.Change(viewer.Socket, Wanted(viewer));
        }
        EndAwaiting();
    }

    private void EndAwaiting()
    {
        if (_writable is null)
            return;
        loop.Unwatch(_writable);
        _writable.Dispose();
        _writable = null;
    }

    private void Leave(Viewer viewer)
    {
        if (viewer.IsGone)
            return;
        viewer.IsGone = true;
        _viewers.Remove(viewer);
        places.Strangers -= viewer.IsOwner ? 0 : 1;
        loop.Unwatch(viewer.Socket);
        viewer.Socket.Dispose();
        if (_viewers.TrueForAll(v => v.Typed.IsEmpty))
            EndAwaiting();
        if (_viewers.Count == 0)
            SetRing(ShownBytes);
    }

    private sealed class Viewer(FileDescriptor socketTaken, bool isOwner, bool mayType)
    {
        public FileDescriptor Socket => socketTaken;
        public bool IsOwner => isOwner;
        public bool MayType => mayType;

        /// <summary>How much of what was written it has been sent, or has lost.</summary>
        public long Seen { get; set; }

        /// <summary>How much it has lost and was not told of.</summary>
        public long Lost { get; set; }

        /// <summary>Its queue is full.</summary>
        public bool IsBehind { get; set; }

        /// <summary>What it has typed and the terminal has not taken.</summary>
        public ReadOnlyMemory<byte> Typed { get; set; }
        public bool IsGone { get; set; }
    }
}
