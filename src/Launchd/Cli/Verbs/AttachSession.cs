using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;
using Launchd.Cli.Surroundings;
using Launchd.Client;
using Launchd.Control;
using Launchd.Interop;
using Launchd.Linux.Sockets;
using Launchd.Linux.Terminals;

namespace Launchd.Cli.Verbs;

/// <summary>How it came that an operator does not see a terminal any more.</summary>
internal enum AttachEnd { Detached, ProgramEnded, CutOff }

/// <summary>
/// Copies between the operator's terminal and the socket of <c>Attach</c>, of which docs/protocol.md tells. The operator's terminal is
/// raw meanwhile, and is as before afterwards, whatever ends it.
/// </summary>
internal sealed class AttachSession : IDisposable
{
    private const int Keyboard = 0, Screen = 1;
    private const int PacketBytes = 4 << 10;

    /// <summary>What is typed while the program reads nothing: more is lost.</summary>
    private const int MostTypedBytes = 64 << 10;
    private const byte Interrupt = 3;
    private const int SIGSTOP = 19;

    private readonly FileDescriptor _socket;
    private readonly FileDescriptor _wake;
    private readonly DetachKeys _keys;
    private readonly bool _isReadOnly;
    private readonly StandardStream _screen = new(Screen);
    private readonly ScreenModes _modes = new();
    private readonly byte[] _buffer = new byte[1 + PacketBytes];
    private readonly List<byte> _typed = [];
    private readonly List<IDisposable> _signals = [];
    private RawMode? _raw;
    private bool _reads;
    private long _dropped;
    private volatile bool _isToEnd, _isToStop, _isToResize;

    /// <param name="socket">The descriptor of the answer; borrowed.</param>
    /// <param name="keys">What the operator leaves with.</param>
    /// <param name="isReadOnly">Nothing is sent.</param>
    public AttachSession(FileDescriptor socket, DetachKeys keys, bool isReadOnly)
    {
        _socket = socket;
        _keys = keys;
        _isReadOnly = isReadOnly;
        int number = Libc.eventfd(0, Libc.EFD_CLOEXEC | Libc.EFD_NONBLOCK);
        _wake = number >= 0 ? new FileDescriptor(number)
            : throw new CliException(ExitCode.SystemRefused, $"cannot wait for signals: {Errno.Last.Text}");
        HasKeyboard = Libc.isatty(Keyboard) == 1;
        _reads = HasKeyboard || !isReadOnly;
    }

    /// <summary>Standard input is a terminal.</summary>
    public bool HasKeyboard { get; }

    /// <summary>Bytes that were typed and not sent, because the program does not read. They are lost when this ends.</summary>
    public long UnsentBytes => _dropped + _typed.Count;

    /// <summary>Columns and rows of the operator's terminal; null: there is none.</summary>
    public static (int Columns, int Rows)? Size() => RawMode.SizeOf(Keyboard) ?? RawMode.SizeOf(Screen);

    /// <summary>Copies until one of both sides ends it.</summary>
    public AttachEnd Run()
    {
        Listen();
        _raw = RawMode.TryEnter(Keyboard);
        // The window may have changed since it was asked for.
        _isToResize = true;
        try
        {
            while (true)
            {
                if (ObeySignals() is { } ended)
                    return ended;
                Libc.poll_entry[] wanted =
                [
                    new() { fd = _reads && (HasKeyboard || _typed.Count == 0) ? Keyboard : -1, events = Libc.POLLIN },
                    new() { fd = _socket.Number, events = (short)(Libc.POLLIN | (IsToSend ? Libc.POLLOUT : 0)) },
                    new() { fd = _wake.Number, events = Libc.POLLIN },
                ];
                if (Libc.poll(ref wanted[0], (nuint)wanted.Length, -1) < 0)
                {
                    Errno refused = Errno.Last;
                    if (refused == Errno.EINTR)
                        continue;
                    throw new CliException(ExitCode.SystemRefused, $"cannot wait for the terminal: poll: {refused.Text}");
                }
                if (wanted[0].revents != 0 && Read() is { } left)
                    return left;
                if (wanted[1].revents != 0 && Receive() is { } over)
                    return over;
                if (wanted[1].revents != 0)
                    SendTyped();
            }
        }
        finally
        {
            if (Libc.isatty(Screen) == 1)
                _screen.Write(Encoding.ASCII.GetBytes(_modes.Undone + "\r\n"));
            _raw?.LeaveAndDiscard();
        }
    }

    public void Dispose()
    {
        foreach (IDisposable signal in _signals)
            signal.Dispose();
        _raw?.Dispose();
        _wake.Dispose();
    }

    private bool IsToSend => _typed.Count > 0 || _isToResize;

    private void Listen()
    {
#pragma warning disable RS0030 // A client verb has no children; its loop is woken by the handlers.
        foreach (PosixSignal signal in (ReadOnlySpan<PosixSignal>)[PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP,
            PosixSignal.SIGQUIT, PosixSignal.SIGWINCH, PosixSignal.SIGCONT, PosixSignal.SIGTSTP])
        {
            _signals.Add(PosixSignalRegistration.Create(signal, Note));
        }
#pragma warning restore RS0030
    }

    /// <summary>On a thread of the runtime.</summary>
    private void Note(PosixSignalContext context)
    {
        context.Cancel = true;
        switch (context.Signal)
        {
            case PosixSignal.SIGWINCH or PosixSignal.SIGCONT:
                _isToResize = true;
                break;
            case PosixSignal.SIGTSTP:
                _isToStop = true;
                break;
            default:
                // The second one ends the process, which may hang in a write to its terminal: nothing is to wait for that.
                context.Cancel = !_isToEnd;
                if (_isToEnd)
                    _raw?.Leave();
                _isToEnd = true;
                break;
        }
        Wake();
    }

    private unsafe void Wake()
    {
        ulong one = 1;
        _ = Libc.write(_wake.Number, &one, sizeof(ulong));
    }

    private unsafe AttachEnd? ObeySignals()
    {
        ulong count;
        _ = Libc.read(_wake.Number, &count, sizeof(ulong));
        if (_isToEnd)
            return AttachEnd.Detached;
        if (_isToStop)
        {
            _isToStop = false;
            _raw?.Leave();
            _ = Libc.kill(Libc.getpid(), SIGSTOP);
        }
        if (!_isToResize)
            return null;
        // Continued in the foreground again, a shell has given the terminal its own modes.
        _isToResize = false;
        _ = _raw?.Enter();
        if (!_isReadOnly && Size() is (int columns, int rows))
        {
            string packet = string.Create(CultureInfo.InvariantCulture, $"w{columns} {rows}");
            // Tried again when there is room, with the size of then. The end of the other side is seen by reading.
            if (UnixSocket.Send(_socket, Encoding.ASCII.GetBytes(packet)).Outcome == SendOutcome.WouldBlock)
                _isToResize = true;
        }
        return null;
    }

    private unsafe AttachEnd? Read()
    {
        nint count;
        fixed (byte* buffer = _buffer)
            count = Libc.read(Keyboard, buffer, PacketBytes);
        if (count < 0 && (Errno.Last == Errno.EINTR || Errno.Last == Errno.EAGAIN))
            return null;
        if (count <= 0)
        {
            _reads = false;
            // The operator's terminal is gone; a file or pipe has only said what it had to say.
            return HasKeyboard ? AttachEnd.Detached : null;
        }
        ReadOnlySpan<byte> typed = _buffer.AsSpan(0, (int)count);
        List<byte> passed = [];
        bool isLeft = false;
        if (!HasKeyboard)
            passed.AddRange(typed);
        else
            isLeft = _keys.Take(typed, passed) || (_isReadOnly && typed.Contains(Interrupt));
        // What was typed before the keys came with them if it was typed fast, or by a program.
        if (!_isReadOnly)
            Type(passed);
        return isLeft ? AttachEnd.Detached : null;
    }

    private void Type(List<byte> passed)
    {
        if (_typed.Count + passed.Count > MostTypedBytes)
        {
            _dropped += passed.Count;
            _screen.Write("\a"u8);
        }
        else
        {
            _typed.AddRange(passed);
        }
        SendTyped();
    }

    private void SendTyped()
    {
        while (_typed.Count > 0)
        {
            int count = Math.Min(PacketBytes, _typed.Count);
            byte[] packet = [(byte)'i', .. CollectionsMarshal.AsSpan(_typed)[..count]];
            // The end of the other side is seen by reading.
            if (UnixSocket.Send(_socket, packet).Outcome != SendOutcome.Sent)
                return;
            _typed.RemoveRange(0, count);
        }
    }

    private AttachEnd? Receive()
    {
        using Received received = UnixSocket.Receive(_socket, _buffer);
        // After a reset its last messages can still be read, and with them why it has ended.
        if (received.Outcome is ReceiveOutcome.WouldBlock or ReceiveOutcome.Reset)
            return null;
        if (received.Outcome != ReceiveOutcome.Message || received.Length == 0)
            return AttachEnd.CutOff;
        ReadOnlySpan<byte> text = _buffer.AsSpan(1, received.Length - 1);
        switch (_buffer[0])
        {
            case (byte)'o':
                _modes.Note(text);
                _screen.Write(text);
                return null;
            case (byte)'l':
                _screen.Write(Encoding.ASCII.GetBytes($"\r\n[launchd-cs: {Encoding.ASCII.GetString(text)} bytes came too fast]\r\n"));
                return null;
            default:
                return AttachEnd.ProgramEnded;
        }
    }
}
