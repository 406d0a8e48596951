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
    private const int FirstPassed = 3, RLIMIT_NOFILE = 7;

    /// <summary>
    /// For a supervisor with some services, so that it does not wait for more (findings/threads-wait-for-more-descriptors.sh).
    /// </summary>
    private const int TableRoom = 512;

    private static readonly string[] PidVariables = ["LISTEN_PID", "WATCHDOG_PID"];

    private readonly Spawner _spawner;
    private readonly SpawnRequest _request;
    private readonly DescriptorMapping[] _descriptors;
    private readonly (ulong Soft, ulong Hard)? _fileLimit;
    private readonly int[] _stored;
    private readonly FileDescriptor? _nothing;
    private bool _hasLetGo;

    private SupervisorStart(
        Spawner spawner, SpawnRequest request, DescriptorMapping[] descriptors, (ulong Soft, ulong Hard)? fileLimit, int[] stored)
    {
        _fileLimit = fileLimit;
        _stored = stored;
        _nothing = stored.Length == 0 ? null : Files.Open(null, "/dev/null", Libc.O_CLOEXEC, 0, out _);
        _spawner = spawner;
        _request = request;
        _descriptors = descriptors;
    }

    /// <summary>Prepares the starts, and raises this process's own limit of open files.</summary>
    /// <exception cref="SystemCallException">Something that each start needs is refused.</exception>
    public static SupervisorStart Prepare()
    {
        ulong* limit = stackalloc ulong[2];
        bool hasLimit = Libc.getrlimit(RLIMIT_NOFILE, limit) == 0;
        (ulong soft, ulong hard) = (limit[0], limit[1]);
        limit[0] = hard;
        if (hasLimit)
            _ = Libc.setrlimit(RLIMIT_NOFILE, limit);
        int umask = Libc.umask(0);
        _ = Libc.umask(umask);

        ManagerOffer offer = ManagerOffer.Read(Libc.getpid(), OwnStart.Variable);
        int passed = offer.Descriptors.Length;
        for (int i = 0; i < passed; i++)
            _ = Libc.fcntl(FirstPassed + i, ClientLibc.F_SETFD, ClientLibc.FD_CLOEXEC);
        int socket = FirstPassed + passed;
        DescriptorMapping[] descriptors = [.. Enumerable.Range(0, socket + 1).Select(n => new DescriptorMapping(n, n))];

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
                string.Create(CultureInfo.InvariantCulture, $"{OwnStart.KeeperVariable}={socket}"),
            ],
            PidVariables = ofPid,
            PidfdVariable = ofPidfd,
            Descriptors = descriptors,
            TableRoom = TableRoom,
            // The keeper's own, whatever it is called by now.
            WorkingDirectory = ".",
            Umask = umask,
            Limits = hasLimit ? [(RLIMIT_NOFILE, soft, hard)] : [],
            BlockedSignals = SignalMask.Present,
        };
        // Without a range of numbers that are kept taken, for which the keeper's own table would have to grow.
        Spawner spawner = new(placeholderTaken: null, SpawnFacts.Asked(out _));
        return new SupervisorStart(spawner, request, descriptors, hasLimit ? (soft, hard) : null,
            [.. offer.Descriptors.Where(d => d.IsStored).Select(d => d.Number)]);
    }

    /// <summary>
    /// Closes the listeners that the service manager had stored: the supervisor has them under their names, and they must not stay open
    /// here when it closes one. The next one is passed something harmless by the same numbers.
    /// </summary>
    public void LetGoOfStored()
    {
        if (_hasLetGo || _nothing is null)
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
    /// <param name="socket">The keeper's end of a new pair, which the caller owns; null if nothing was started.</param>
    /// <param name="supervisor">Owned by the caller; null if nothing was started.</param>
    public Errno Start(out FileDescriptor? socket, out ProcessHandle? supervisor)
    {
        (socket, supervisor) = (null, null);
        if (!UnixSocket.TryPair(UnixSocketKind.SeqPacket, out FileDescriptor? ours, out FileDescriptor? theirs, out Errno refused))
            return refused;
        using (theirs)
        {
            _descriptors[^1] = _descriptors[^1] with { Source = theirs.Number };
            if (_spawner.Start(_request, out supervisor) is not { } failure)
            {
                socket = ours;
                return Errno.None;
            }
            ours.Dispose();
            return failure.Errno;
        }
    }

    public void Dispose()
    {
        _spawner.Dispose();
        _nothing?.Dispose();
    }
}
