using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Launchd.AcceptanceTests.Support;

/// <summary>A program that was started, with its output as lines. Whoever starts one disposes it, which ends it.</summary>
internal sealed partial class Command : IAsyncDisposable
{
    private readonly Process _process;
    private readonly Task _pumps;

    private Command(Process process)
    {
        _process = process;
        _pumps = Task.WhenAll(Pump(process.StandardOutput, Output), Pump(process.StandardError, Errors));
        Exited = WaitForExit();
    }

    public int Pid => _process.Id;

    /// <summary>Lines of standard output and of standard error.</summary>
    public Happenings<string> Output { get; } = new();
    public Happenings<string> Errors { get; } = new();

    /// <summary>Done when the program has ended and all its output was read: the exit code, 128 + signal for a death by signal.</summary>
    public Task<int> Exited { get; }

    public bool IsRunning => !Exited.IsCompleted;

    /// <summary>Starts a program with an empty standard input.</summary>
    public static Command Start(
        IReadOnlyList<string> words, string? directory = null, IReadOnlyDictionary<string, string>? environment = null)
    {
        ProcessStartInfo start = new(words[0], words.Skip(1))
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            WorkingDirectory = directory ?? "/",
        };
        start.Environment["NO_COLOR"] = "1";
        foreach ((string name, string value) in environment ?? new Dictionary<string, string>())
            start.Environment[name] = value;
        Process process = Process.Start(start) ?? throw new InvalidOperationException($"{words[0]} did not start");
        process.StandardInput.Close();
        return new Command(process);
    }

    /// <summary>Starts <c>launchd-cs</c> with these arguments.</summary>
    public static Command Launchd(
        IEnumerable<string> arguments, string? directory = null, IReadOnlyDictionary<string, string>? environment = null) =>
        Start([.. Repository.LaunchdCommand, .. arguments], directory, environment);

    /// <summary>Waits for the end.</summary>
    public Task<int> Exit() => Deadline.Await(Exited, "exit", () => $"{Output}\n{Errors}");

    /// <summary>Sends a signal; false if the program has ended.</summary>
    public bool Signal(int number) => !Exited.IsCompleted && !_process.HasExited && kill(_process.Id, number) == 0;

    /// <summary>Waits for the end, and kills the program if it does not come in time.</summary>
    public async Task EndWithin(TimeSpan patience)
    {
        try
        {
            _ = await Exited.WaitAsync(patience);
        }
        catch (TimeoutException)
        {
            _process.Kill();
            _ = await Exited.WaitAsync(Deadline.Generous);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await EndWithin(TimeSpan.Zero);
        _process.Dispose();
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int kill(int pid, int signal);

    private async Task<int> WaitForExit()
    {
        await _process.WaitForExitAsync();
        try
        {
            await _pumps.WaitAsync(TimeSpan.FromSeconds(5));
        }
        catch (TimeoutException)
        {
            // Whoever inherited the pipes holds them open: what matters is what the program itself wrote before its end.
        }
        int code = _process.ExitCode;
        Output.End($"the program ended with {code}");
        Errors.End($"the program ended with {code}");
        return code;
    }

    private static async Task Pump(StreamReader from, Happenings<string> to)
    {
        while (await from.ReadLineAsync() is { } line)
            to.Add(line);
    }
}
