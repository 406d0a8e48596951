using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;

namespace Launchd.Logs;

/// <summary>
/// Puts pipes in the place of the supervisor's own descriptors 1 and 2, and the log pump copies what comes out of the pipes to the
/// originals: so code that writes to 1 and 2 (messages of an interactive start, the runtime's last words) never meets a full disk, a closed
/// terminal or a reader that stopped. The write ends are non-blocking. Owns the originals' duplicates and the two writers.
/// </summary>
internal sealed class ConsoleRedirect : IDisposable
{
    private const int OutputNumber = 1;
    private const int ErrorNumber = 2;

    private FileDescriptor? _outputPipe;
    private FileDescriptor? _errorPipe;
    private LogPump? _pump;
    private bool _restored;

    private ConsoleRedirect(FileDescriptor originalOutput, FileDescriptor originalError)
    {
        OriginalOutput = originalOutput;
        OriginalError = originalError;
        Output = OutputWriter.Open(originalOutput);
        Error = OutputWriter.Open(originalError);

        // If both are the same pipe or terminal, they share one queue, so that lines of the two cannot be mixed up.
        if (Error.Identity == Output.Identity && !Error.Identity.IsRegularFile)
        {
            Error.Dispose();
            Error = Output;
            Output.StandFor(originalError);
        }
    }

    /// <summary>The description that was standard output, for children with <c>output = "inherit"</c>.</summary>
    public FileDescriptor OriginalOutput { get; }

    /// <summary>The description that was standard error, likewise.</summary>
    public FileDescriptor OriginalError { get; }

    /// <summary>Writes to the original standard output: the pump's display.</summary>
    public OutputWriter Output { get; }

    /// <summary>Writes to the original standard error; the same object as <see cref="Output"/> if both are one pipe or terminal.</summary>
    public OutputWriter Error { get; }

    /// <exception cref="SystemCallException">The kernel gave no descriptors; 1 and 2 are as they were.</exception>
    public static ConsoleRedirect Begin()
    {
        var redirect = new ConsoleRedirect(Original(OutputNumber), Original(ErrorNumber));
        try
        {
            redirect._outputPipe = Replace(OutputNumber);
            redirect._errorPipe = Replace(ErrorNumber);
            return redirect;
        }
        catch (SystemCallException)
        {
            redirect.Restore();
            redirect.Dispose();
            throw;
        }
    }

    /// <summary>
    /// From here on <paramref name="pump"/> (made with <see cref="Output"/> as display) carries what is written to 1 and 2.
    /// </summary>
    public void Attach(LogPump pump)
    {
        if (_outputPipe is null || _errorPipe is null)
            throw new InvalidOperationException("attached before");
        pump.AddOwn(_outputPipe, Output);
        pump.AddOwn(_errorPipe, Error);
        _outputPipe = null;
        _errorPipe = null;
        _pump = pump;
    }

    /// <summary>Has whole lines of the supervisor written to the original standard error. Nothing before <see cref="Attach"/>.</summary>
    public void Say(byte[] lines) => _pump?.Say(Error, lines);

    /// <summary>
    /// Makes 1 and 2 what they were. What was written until now is still in the pipes, so stop the pump after this, not before.
    /// </summary>
    public void Restore()
    {
        if (_restored)
            return;
        _restored = true;
        if (OriginalOutput.Number >= 0)
            _ = Libc.dup2(OriginalOutput.Number, OutputNumber);
        if (OriginalError.Number >= 0)
            _ = Libc.dup2(OriginalError.Number, ErrorNumber);
    }

    /// <summary>
    /// The end: <see cref="Restore"/>, then the pump stops after it has written what is left, waiting at most <paramref name="patience"/>
    /// for slow readers. False: something was left over.
    /// </summary>
    public bool Drain(LogPump pump, TimeSpan patience)
    {
        Restore();
        return pump.Stop(patience);
    }

    public void Dispose()
    {
        Restore();
        _outputPipe?.Dispose();
        _errorPipe?.Dispose();
        Output.Dispose();
        if (Error != Output)
            Error.Dispose();
        OriginalOutput.Dispose();
        OriginalError.Dispose();
    }

    /// <summary>A duplicate; /dev/null where the number was closed, as a careless launcher leaves it.</summary>
    private static FileDescriptor Original(int number) =>
        PumpCalls.Duplicate(number, out Errno error)
        ?? (error == Errno.EBADF ? PumpCalls.Open("/dev/null", Libc.O_WRONLY, mode: 0, out error) : null)
        ?? throw new SystemCallException("fcntl", $"descriptor {number}", error);

    private static unsafe FileDescriptor Replace(int number)
    {
        int* ends = stackalloc int[2];
        if (Libc.pipe2(ends, Libc.O_CLOEXEC | Libc.O_NONBLOCK) < 0)
            throw new SystemCallException("pipe2", "the supervisor's output", Errno.Last);
        var readEnd = new FileDescriptor(ends[0]);
        using var writeEnd = new FileDescriptor(ends[1]);
        if (Libc.dup2(writeEnd.Number, number) >= 0)
            return readEnd;
        Errno error = Errno.Last;
        readEnd.Dispose();
        throw new SystemCallException("dup2", "the supervisor's output", error);
    }
}
