using System.Runtime.InteropServices;
using System.Text;
using Launchd.Client;
using Launchd.Control;
using Launchd.Linux.Processes;

namespace Launchd.Cli.Surroundings;

/// <summary>The surroundings of a verb: its output, its environment, where supervisors are looked for. Tests make their own.</summary>
internal sealed class CliContext
{
    public required Terminal Output { get; init; }
    public required TextWriter Error { get; init; }
    public required Func<string, string?> Environment { get; init; }

    /// <summary>
    /// Absolute path in which <c>launchd.toml</c> is looked for; null: the directory has been removed, or may not be seen.
    /// </summary>
    public required string? WorkingDirectory { get; init; }

    /// <summary>Directories whose entries are runtime directories of supervisors, in the order of search.</summary>
    public required IReadOnlyList<string> BaseDirectories { get; init; }

    /// <summary>Why a directory that the environment names is not among them; null: all are.</summary>
    public string? PassedOver { get; init; }

    /// <summary>Makes a local time of a moment, as times are shown.</summary>
    public Func<DateTimeOffset, DateTime> LocalTime { get; init; } = Linux.Facts.LocalTime.Of;

    /// <summary>Cancelled by Ctrl-C, SIGTERM and SIGHUP once <see cref="ListenForSignals"/> was called.</summary>
    public CancellationToken Interrupted => Interruption.Token;
    public CancellationTokenSource Interruption { get; init; } = new();

    /// <summary>Longest wait for an answer that the supervisor can give at once.</summary>
    public TimeSpan AnswerTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>What this kernel and container allow, for <c>doctor</c>; null where nobody supplies it.</summary>
    public Func<IReadOnlyList<Finding>>? Findings { get; init; }

    public static CliContext OfProcess(Func<IReadOnlyList<Finding>>? findings = null) => new()
    {
        Output = Terminal.OfProcess(System.Environment.GetEnvironmentVariable),
        Error = new StreamWriter(new StandardStream(2), new UTF8Encoding(encoderShouldEmitUTF8Identifier: false)) { AutoFlush = true },
        Environment = OwnStart.Variable,
        WorkingDirectory = CurrentDirectory(out _),
        BaseDirectories = StandardBaseDirectories(),
        PassedOver = UserRuntimeDirectory.WhyPassedOver(),
        Findings = findings,
    };

    /// <summary>The absolute path of a file that the operator named.</summary>
    /// <exception cref="CliException">The path is relative, and the working directory is not there.</exception>
    public static string FullPath(string path)
    {
        if (Path.IsPathRooted(path))
            return Path.GetFullPath(path);
        return CurrentDirectory(out string reason) is { } directory ? Path.GetFullPath(path, directory)
            : throw new CliException(
                ExitCode.SystemRefused,
                $"the working directory cannot be told ({reason}): change to another one, or name "
                    + $"'{TerminalText.Escape(path)}' by its absolute path");
    }

    /// <summary>
    /// From now on the first signal ends the verb in order; a second one ends the process at once, in case the verb hangs in a write.
    /// </summary>
    public IDisposable ListenForSignals()
    {
#pragma warning disable RS0030 // A client verb has no loop and no children: nothing here reads signals from a descriptor.
        List<PosixSignalRegistration> registrations = [];
        foreach (PosixSignal signal in (ReadOnlySpan<PosixSignal>)[PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP])
        {
            try
            {
                registrations.Add(PosixSignalRegistration.Create(signal, context =>
                {
                    context.Cancel = !Interruption.IsCancellationRequested;
                    Interruption.Cancel();
                }));
            }
            catch (Exception refused) when (refused is IOException or OutOfMemoryException or System.ComponentModel.Win32Exception)
            {
                // The runtime cannot make the thread for its handlers: then a signal ends the process at once.
            }
        }
#pragma warning restore RS0030
        return new Registrations(registrations);
    }

    private static string? CurrentDirectory(out string reason)
    {
        string? directory = OwnStart.WorkingDirectory(out Errno refused);
        reason = directory is null ? refused.Text : "";
        return directory;
    }

    private static List<string> StandardBaseDirectories()
    {
        List<string> directories = ["/run/launchd-cs"];
        if (UserRuntimeDirectory.Own is { } ofUser)
            directories.Add(Path.Combine(ofUser, "launchd-cs"));
        directories.Add(Config.Loading.ConfigReader.SharedDirectory(Interop.Libc.geteuid()));
        return directories;
    }

    private sealed class Registrations(IEnumerable<IDisposable> all) : IDisposable
    {
        public void Dispose()
        {
            foreach (IDisposable one in all)
                one.Dispose();
        }
    }
}
