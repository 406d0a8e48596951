using System.Buffers.Text;
using Launchd.Interop;
using Launchd.Linux.Processes;

namespace Launchd.Keeper;

/// <summary>
/// A line of the keeper's on standard error, put together in memory of the caller's and written only if that does not wait: nobody may stop
/// the keeper by not reading. What is too long for the memory is cut.
/// </summary>
internal ref struct KeeperLine
{
    /// <summary>For the memory of a line. A pipe that is writable takes so many bytes at once, pipe(7).</summary>
    public const int MostBytes = 1024;

    private const int StandardError = 2;

    private readonly Span<byte> _room;
    private int _length;

    /// <param name="room">At least <see cref="MostBytes"/>.</param>
    public KeeperLine(Span<byte> room)
    {
        _room = room;
        Add("launchd-cs keeper: "u8);
    }

    public void Add(scoped ReadOnlySpan<byte> text)
    {
        // One byte stays for the end of the line.
        ReadOnlySpan<byte> fitting = text[..Math.Min(text.Length, _room.Length - 1 - _length)];
        fitting.CopyTo(_room[_length..]);
        _length += fitting.Length;
    }

    public void Add(long number)
    {
        Span<byte> digits = stackalloc byte[24];
        _ = Utf8Formatter.TryFormat(number, digits, out int count);
        Add(digits[..count]);
    }

    /// <summary>How a supervisor ended, after its name.</summary>
    public void Add(in Reaped end)
    {
        if (end.Signal == 0)
        {
            Add("ended with code "u8);
            Add(end.Code);
            Add(" without having been asked to"u8);
            return;
        }
        Add("was killed by "u8);
        ReadOnlySpan<byte> name = NameOf(end.Signal);
        Add(name.IsEmpty ? "signal "u8 : name);
        if (name.IsEmpty)
            Add(end.Signal);
        if (end.DumpedCore)
            Add(" (core dumped)"u8);
    }

    /// <summary>A number in a row: 1st, 2nd, 3rd.</summary>
    public void AddOrdinal(int number)
    {
        Add(number);
        Add((number % 100 is >= 11 and <= 13 ? 0 : number % 10) switch { 1 => "st"u8, 2 => "nd"u8, 3 => "rd"u8, _ => "th"u8 });
    }

    /// <summary>Writes the line if standard error takes it now.</summary>
    public unsafe void Write()
    {
        _room[_length] = (byte)'\n';
        Libc.poll_entry entry = new() { fd = StandardError, events = Libc.POLLOUT };
        if (Libc.poll(ref entry, 1, 0) != 1 || (entry.revents & Libc.POLLOUT) == 0)
            return;
        fixed (byte* line = _room)
            _ = Libc.write(StandardError, line, (nuint)_length + 1);
    }

    /// <summary>The bytes so far.</summary>
    public readonly ReadOnlySpan<byte> Text => _room[.._length];

    // signal(7), of those that end a process.
    private static ReadOnlySpan<byte> NameOf(int signal) => signal switch
    {
        1 => "SIGHUP"u8,
        2 => "SIGINT"u8,
        3 => "SIGQUIT"u8,
        4 => "SIGILL"u8,
        5 => "SIGTRAP"u8,
        6 => "SIGABRT"u8,
        7 => "SIGBUS"u8,
        8 => "SIGFPE"u8,
        9 => "SIGKILL"u8,
        11 => "SIGSEGV"u8,
        15 => "SIGTERM"u8,
        31 => "SIGSYS"u8,
        _ => default,
    };
}
