using System.Runtime.InteropServices;
using System.Text;

namespace Launchd.Cli;

/// <summary>What surrounds a verb: its output, its environment, where supervisors are looked for. Tests make their own.</summary>
internal sealed class CliContext
{
    public required Terminal Output { get; init; }
    public required TextWriter Error { get; init; }
    public required Func<string, string?> Environment { get; init; }

    /// <summary>Absolute path in which <c>launchd.toml</c> is looked for.</summary>
    public required string WorkingDirectory { get; init; }

    /// <summary>Directories whose entries are runtime directories of supervisors, in the order of search.</summary>
    public required IReadOnlyList<string> BaseDirectories { get; init; }

    /// <summary>The zone in which times are shown.</summary>
    public TimeZoneInfo Zone { get => field ??= TimeZoneInfo.Local; init; }

    /// <summary>Cancelled by Ctrl-C, SIGTERM and SIGHUP once <see cref="ListenForSignals"/> was called.</summary>
    public CancellationToken Interrupted => Interruption.Token;
    public CancellationTokenSource Interruption { get; init; } = new();

    /// <summary>Longest wait for an answer that takes the supervisor no time.</summary>
    public TimeSpan AnswerTimeout { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>What this kernel and container allow, for <c>doctor</c>; null where nobody supplies it.</summary>
    public Func<IReadOnlyList<Finding>>? Findings { get; init; }

    public static CliContext OfProcess(Func<IReadOnlyList<Finding>>? findings = null) => new()
    {
        Output = Terminal.OfProcess(System.Environment.GetEnvironmentVariable),
        Error = new StreamWriter(new StandardStream(2), new UTF8Encoding(encoderShouldEmitUTF8Identifier: false)) { AutoFlush = true },
        Environment = System.Environment.GetEnvironmentVariable,
        WorkingDirectory = System.Environment.CurrentDirectory,
        BaseDirectories = StandardBaseDirectories(),
        Findings = findings,
    };

    /// <summary>
    /// From now on the first signal ends the verb in order; a second one ends the process as signals do, for the case that the verb
    /// hangs in a write.
    /// </summary>
    public IDisposable ListenForSignals()
    {
#pragma warning disable RS0030 // A client verb has no loop and no children: nothing here reads signals from a descriptor.
        List<PosixSignalRegistration> registrations = [];
        foreach (PosixSignal signal in (ReadOnlySpan<PosixSignal>)[PosixSignal.SIGINT, PosixSignal.SIGTERM, PosixSignal.SIGHUP])
        {
            registrations.Add(PosixSignalRegistration.Create(signal, context =>
            {
                context.Cancel = !Interruption.IsCancellationRequested;
                Interruption.Cancel();
            }));
        }
#pragma warning restore RS0030
        return new Registrations(registrations);
    }

    private static List<string> StandardBaseDirectories()
    {
        List<string> directories = ["/run/launchd-cs"];
        if (System.Environment.GetEnvironmentVariable("XDG_RUNTIME_DIR") is { Length: > 0 } ofUser)
            directories.Add(Path.Combine(ofUser, "launchd-cs"));
        directories.Add(Config.ConfigReader.SharedDirectory(Interop.Libc.geteuid()));
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
