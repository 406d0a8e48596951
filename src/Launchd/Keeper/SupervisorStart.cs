using System.Globalization;
using Launchd.Addresses;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Facts;
using Launchd.Linux.Loop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Linux.Sockets;
using Launchd.Linux.Spawning;

namespace Launchd.Keeper;

/// <summary>
/// Starts one supervisor after the other, each as this process itself was started: the same program, though its file may be another one by
/// then, and the same arguments, variables, directory, limits, standard descriptors and descriptors of a service manager. Each is a session
/// of its own, so that what is typed at a terminal reaches the keeper alone.
/// </summary>
internal sealed unsafe class SupervisorStart : IDisposable
{
    private const int FirstPassed = 3, RLIMIT_NOFILE = 7, O_RDWR = 2;

    /// <summary>
    /// For a supervisor with some services, so that it does not wait for more (findings/threads-wait-for-more-descriptors.sh).
    /// </summary>
    private const int TableRoom = 512;

    private static readonly string[] PidVariables = ["LISTEN_PID", "WATCHDOG_PID"];

    private readonly Spawner _spawner;
    private readonly FileDescriptor _nothing;
    private readonly (ulong Soft, ulong Hard)? _fileLimit;
    private readonly int[] _stored;
    private readonly SpawnRequest _own;
    private readonly SpawnRequest _other;
    private readonly SpawnRequest _trial;

    // Those of all three; the socket, and behind it the program, are put in for each start.
    private readonly DescriptorMapping[] _ofOwn;
    private readonly DescriptorMapping[] _ofOther;
    private readonly DescriptorMapping[] _ofTrial;
    private bool _hasLetGo;

    private SupervisorStart(Spawner spawner, FileDescriptor nothingTaken, SpawnRequest request, int passed,
        (ulong Soft, ulong Hard)? fileLimit, int[] stored)
    {
        _fileLimit = fileLimit;
        _stored = stored;
        _spawner = spawner;
        _nothing = nothingTaken;
        PassedCount = passed;
        int socket = FirstPassed + passed;
        _ofOwn = [.. Enumerable.Range(0, FirstPassed + passed).Append(socket).Select(n => new DescriptorMapping(n, n))];
        _ofOther = [.. _ofOwn, new DescriptorMapping(-1, socket + 1)];
        _ofTrial =
        [
            new(nothingTaken.Number, 0), new(nothingTaken.Number, 1), new(2, 2), new(-1, socket), new(-1, socket + 1),
        ];
        string[] link = [string.Create(CultureInfo.InvariantCulture, $"{OwnStart.KeeperVariable}={socket}")];
        string[] linkAndProgram = [string.Create(CultureInfo.InvariantCulture, $"{link[0]}+{socket + 1}")];
        // A script's interpreter opens its script by this name, so that the program stays open until it has closed it itself.
        string[] program = [string.Create(CultureInfo.InvariantCulture, $"/proc/self/fd/{socket + 1}")];
        _own = request with { Environment = [.. request.Environment, .. link], Descriptors = _ofOwn };
        _other = request with
        {
            Candidates = program, Environment = [.. request.Environment, .. linkAndProgram], Descriptors = _ofOther,
        };
        // Not the arguments of the supervisor: a program that is something else altogether would take the configuration for something.
        int given = System.Environment.GetCommandLineArgs().Length - 1;
        _trial = _other with
        {
            Arguments = [.. request.Arguments.Take(Math.Max(1, request.Arguments.Count - given)), Trial],
            PidVariables = [],
            PidfdVariable = null,
            Descriptors = _ofTrial,
        };
    }

    /// <summary>The word by which a program is asked to prove itself.</summary>
    public const string Trial = "--prove";

    /// <summary>What the keeper itself was executed with, the program first.</summary>
    public IReadOnlyList<string> Arguments => _own.Arguments;

    /// <summary>The soft limit of open files with which supervisors are started.</summary>
    public ulong FileLimit { get; private init; }

    /// <summary>Descriptors of a service manager, from 3 on.</summary>
    public int PassedCount { get; }

    /// <summary>Prepares the starts, and raises this process's own limit of open files.</summary>
    /// <param name="softLimit">The soft limit with which supervisors are started; null: the one that this process has.</param>
    /// <exception cref="SystemCallException">Something that each start needs is refused.</exception>
    public static SupervisorStart Prepare(ulong? softLimit = null)
    {
        ulong* limit = stackalloc ulong[2];
        bool hasLimit = Libc.getrlimit(RLIMIT_NOFILE, limit) == 0;
        (ulong soft, ulong hard) = (Math.Min(softLimit ?? limit[0], limit[1]), limit[1]);
        limit[0] = hard;
        if (hasLimit)
            _ = Libc.setrlimit(RLIMIT_NOFILE, limit);
        int umask = Libc.umask(0);
        _ = Libc.umask(umask);

        ManagerOffer offer = ManagerOffer.Read(Libc.getpid(), OwnStart.Variable);
        int passed = offer.Descriptors.Length;
        for (int i = 0; i < passed; i++)
            _ = Libc.fcntl(FirstPassed + i, ClientLibc.F_SETFD, ClientLibc.FD_CLOEXEC);

        // Variables that name this process by its number are meant for the supervisor, which is the one that reads them.
        string own = Libc.getpid().ToString(CultureInfo.InvariantCulture);
        string[] ofPid = [.. PidVariables.Where(v => OwnStart.Variable(v) == own)];
        string? ofPidfd = OwnStart.Variable("LISTEN_PIDFDID") is null ? null : "LISTEN_PIDFDID";
        SpawnRequest request = new()
        {
            Arguments = OwnStart.CommandLine() ?? throw new SystemCallException("read", "/proc/self/cmdline", Errno.ENOENT),
            // In the child, until it executes it, this is the very program that the keeper runs.
            Candidates = ["/proc/self/exe"],
            Environment =
            [
                .. OwnStart.Environment.Where(v => !ofPid.Contains(v.Key) && v.Key != ofPidfd).Select(v => $"{v.Key}={v.Value}"),
            ],
            PidVariables = ofPid,
            PidfdVariable = ofPidfd,
            Descriptors = [],
            TableRoom = TableRoom,
            // The keeper's own, whatever it is called by now.
            WorkingDirectory = ".",
            Umask = umask,
            Limits = hasLimit ? [(RLIMIT_NOFILE, soft, hard)] : [],
            BlockedSignals = SignalMask.Present,
        };
        // Without a range of numbers that are kept taken, for which the keeper's own table would have to grow.
        Spawner spawner = new(placeholderTaken: null, SpawnFacts.Asked(out _));
        return new SupervisorStart(spawner, OpenNull(), request, passed, hasLimit ? (soft, hard) : null,
            [.. offer.Descriptors.Where(d => d.IsStored).Select(d => d.Number)])
        {
            FileLimit = soft,
        };
    }

    /// <summary>
    /// Closes the listeners that the service manager had stored: the supervisor has them under their names, and they must not stay open
    /// here when it closes one. The next one is passed something harmless by the same numbers.
    /// </summary>
    public void LetGoOfStored()
    {
        if (_hasLetGo)
            return;
        _hasLetGo = true;
        foreach (int number in _stored)
            _ = Libc.dup3(_nothing.Number, number, Libc.O_CLOEXEC);
    }

    /// <summary>Gives this process the limit of open files back that it was started with.</summary>
    public void LowerLimit()
    {
        if (_fileLimit is not { } was)
            return;
        ulong* limit = stackalloc ulong[2] { was.Soft, was.Hard };
        _ = Libc.setrlimit(RLIMIT_NOFILE, limit);
    }

    /// <summary>Starts a supervisor. Null: it runs, or has ended already.</summary>
    /// <param name="program">What is executed; borrowed. Null: the keeper's own program.</param>
    /// <param name="socket">The keeper's end of a new pair, which the caller owns; null if nothing was started.</param>
    /// <param name="supervisor">Owned by the caller; null if nothing was started.</param>
    public Errno Start(FileDescriptor? program, out FileDescriptor? socket, out ProcessHandle? supervisor)
    {
        if (program is null)
            return Start(_own, _ofOwn, _ofOwn.Length - 1, out socket, out supervisor);
        _ofOther[^1] = _ofOther[^1] with { Source = program.Number };
        return Start(_other, _ofOther, _ofOther.Length - 2, out socket, out supervisor);
    }

    /// <summary>Starts a program that is to prove itself: without input and output, and with the keeper's standard error.</summary>
    /// <param name="program">Borrowed.</param>
    /// <param name="socket">As for <see cref="Start(FileDescriptor?, out FileDescriptor?, out ProcessHandle?)"/>.</param>
    /// <param name="process">Owned by the caller; null if nothing was started.</param>
    public Errno Try(FileDescriptor program, out FileDescriptor? socket, out ProcessHandle? process)
    {
        _ofTrial[^1] = _ofTrial[^1] with { Source = program.Number };
        return Start(_trial, _ofTrial, _ofTrial.Length - 2, out socket, out process);
    }

    public void Dispose()
    {
        _spawner.Dispose();
        _nothing.Dispose();
    }

    private Errno Start(SpawnRequest request, DescriptorMapping[] descriptors, int socketAt, out FileDescriptor? socket,
        out ProcessHandle? process)
    {
        (socket, process) = (null, null);
        if (!UnixSocket.TryPair(UnixSocketKind.SeqPacket, out FileDescriptor? ours, out FileDescriptor? theirs, out Errno refused))
            return refused;
        using (theirs)
        {
            descriptors[socketAt] = descriptors[socketAt] with { Source = theirs.Number };
            if (_spawner.Start(request, out process) is not { } failure)
            {
                socket = ours;
                return Errno.None;
            }
            ours.Dispose();
            return failure.Errno;
        }
    }

    private static FileDescriptor OpenNull() => Files.Open(null, "/dev/null", O_RDWR | Libc.O_CLOEXEC, 0, out Errno refused)
        ?? throw new SystemCallException("open", "/dev/null", refused);
}
