using System.Globalization;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Processes;

/// <summary>
/// Files of /proc about other processes, for the loop's thread alone. Opening one works even while this process has all the descriptors
/// that it may have, because a number is kept back for it: a shortage must not blind the supervisor to what its services leave behind.
/// </summary>
internal readonly unsafe ref struct ProcFile
{
    private static FileDescriptor? _spare;
    private static bool _isOwn;

    private readonly FileDescriptor? _file;

    private ProcFile(FileDescriptor? file)
    {
        _file = file;
    }

    /// <summary>
    /// Whether /proc is that of the supervisor's own pid namespace: in another one's every number means another process, and nothing
    /// may be believed. Asked again each time until it is so.
    /// </summary>
    public static bool IsOwn => _isOwn
        || (_isOwn = Files.ReadLink(null, "/proc/self") == Libc.getpid().ToString(CultureInfo.InvariantCulture));

    /// <summary>What is wrong with /proc; null: nothing.</summary>
    public static string? Fault => IsOwn ? null
        : Files.ReadLink(null, "/proc/self") is null ? "/proc is not mounted" : "/proc is that of another pid namespace";

    /// <summary>Opens the descriptor whose number is kept back, if it is not open already.</summary>
    public static void Reserve() => _spare ??= Files.Open(null, "/dev/null", 0, 0, out _);

    public static ProcFile Open(string path, out Errno refused)
    {
        FileDescriptor? file = Files.OpenToRead(path, out refused);
        if (refused == Errno.EMFILE && _spare is not null)
        {
            _spare.Dispose();
            _spare = null;
            file = Files.OpenToRead(path, out refused);
        }
        return new ProcFile(file);
    }

    public bool IsOpen => _file is not null;

    /// <summary>The open file, borrowed. Only while <see cref="IsOpen"/>.</summary>
    public FileDescriptor File => _file!;

    /// <summary>
    /// Fills the buffer from where the last call ended; less than its length at the end of the file, or where it cannot be read.
    /// </summary>
    public int Read(Span<byte> buffer)
    {
        int total = 0;
        fixed (byte* start = buffer)
        {
            while (_file is not null && total < buffer.Length)
            {
                nint got = Libc.read(_file.Number, start + total, (nuint)(buffer.Length - total));
                if (got <= 0)
                    break;
                total += (int)got;
            }
        }
        return total;
    }

    public void Dispose()
    {
        _file?.Dispose();
        Reserve();
    }
}
