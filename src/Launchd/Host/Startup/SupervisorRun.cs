using Launchd.Client;
using Launchd.Config.Diagnostics;
using Launchd.Config.Loading;
using Launchd.Config.Sources;
using Launchd.Control;
using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Keeping;
using Launchd.Host.Lanes;
using Launchd.Host.Launching;
using Launchd.Host.Listeners;
using Launchd.Host.Loop;
using Launchd.Host.Manager;
using Launchd.Host.Provisioning;
using Launchd.Host.Reloading;
using Launchd.Host.Reporting;
using Launchd.Host.Steps;
using Launchd.Interop;
using Launchd.Keeper;
using Launchd.Linux.Calls;
using Launchd.Linux.Facts;
using Launchd.Linux.Listening;
using Launchd.Linux.Loop;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Linux.Spawning;
using Launchd.Logs;
using Launchd.Model;
using Microsoft.Extensions.Logging;

namespace Launchd.Host.Startup;

/// <summary>Puts the supervisor together, runs it, takes it apart: the whole of <c>run</c> on one screen.</summary>
internal static unsafe class SupervisorRun
{
    private static readonly TimeSpan OutputPatience = TimeSpan.FromSeconds(2);

    /// <summary>Descriptors that the loop and the pump still take, and those of one process in the making.</summary>
    private const int LeastRoom = 40;
    private const ulong PlentyOfDescriptors = 4096;

    /// <param name="definition">Valid.</param>
    /// <param name="warnings">Of the configuration, for the log.</param>
    /// <param name="exitWith">End with this service.</param>
    /// <param name="offer">What the service manager offers.</param>
    /// <param name="source">Where the configuration can be read again; null: nowhere.</param>
    /// <param name="beside">What else happens on the loop; called before anything is started, disposed at the end.</param>
    /// <param name="keeper">What holds for this process, borrowed; null: nothing.</param>
    /// <param name="heritage">What it held, borrowed; null: there is no keeper.</param>
    /// <param name="takesOver">Whether programs of a supervisor that was killed, and of which nothing is held, are ended.</param>
    /// <exception cref="StartRefusedException">Nothing was started, nothing is left.</exception>
    public static int Run(SupervisorDefinition definition, IReadOnlyList<Diagnostic> warnings, ServiceName? exitWith,
        ManagerOffer offer, ConfigSource? source = null, Func<HostComposition, IDisposable>? beside = null,
        KeeperLink? keeper = null, Heritage? heritage = null, bool takesOver = false)
    {
        Moment startedAt = HostClock.Now;
        using CollectorPause pause = BootReport.PauseFor(definition);
        SpawnCarrier? carrier = SpawnFacts.Asked(out bool isWrong);
        if (isWrong)
            throw new StartRefusedException("LAUNCHD_SPAWN is neither clone nor exec", ExitCode.Usage);
        (ulong Soft, ulong Hard) fileLimit = BecomeSupervisor(definition);
        int endedCount = heritage is { IsFirst: false, State: null } ? FormerChildren.End(keeper!) : 0;
        using InheritedListeners inherited = InheritedListeners.Take(offer);
        foreach (string name in heritage?.Answer.Names.Where(OfferedDescriptor.IsStoredName).ToArray() ?? [])
            inherited.Add(name, heritage!.Answer.Take(name)!);
        // Before the listeners, so that the spawners get low numbers: only descriptors up to those are copied
        // for a child, however many others are held.
        List<Spawner> spawners = MakeSpawners(carrier, fileLimit.Hard);
        using Closers closers = new(OpenNull());
        using FileDescriptor? heldLock = heritage?.Answer.Take(RuntimeDirectory.HeldLock);
        using RuntimeDirectory directory = RuntimeDirectory.Enter(
            definition.RuntimeDirectory, keepsSockets: heritage?.State is not null, keeper?.KeeperPid ?? 0, heldLock);
        // What a keeper has held on for is gone on with, or was ended already: then what was no child of it is ended too.
        LeftoverOutcome left = heritage?.State is not null ? default
            : Leftovers.Clear(directory, takesOver || heritage is { IsFirst: false }, inherited);
        using Heritage? adopted = left.Adopted;
        if (adopted?.State is { } found)
        {
            // What held holds on, whatever the file says by now: only a reload adopts that.
            (heritage, definition, warnings) = (adopted, found.Adopted, []);
            foreach (string name in adopted.Answer.Names.Where(OfferedDescriptor.IsStoredName).ToArray())
                inherited.Add(name, adopted.Answer.Take(name)!);
        }
        UserTable users = new(definition);
        // As long as the keeper has it nobody else starts a second copy of what it holds, also while there is no supervisor.
        keeper?.Store(RuntimeDirectory.HeldLock, directory.Lock);
        using DescriptorTable descriptors = DescriptorTable.Open(definition, users, inherited, names =>
        {
            if (offer.NotifySocket is { } address)
                ManagerLink.Forget(address, names);
            foreach (string name in names)
                keeper?.Drop(name);
            keeper?.LetGoOfStored();
        }, key => heritage?.State is null ? null : heritage.Answer.Take(HeldDescriptors.NameOfFile(key)));
        using ControlListener control = ControlListener.Open(definition, directory, users);
        RequireRoom(fileLimit.Hard);
        using EventLoop loop = new();
        using Mailbox mailbox = new();
        using Delays delays = new(loop);
        using SlowLanes lanes = new(mailbox, delays, closers);
        using LoopSeat loopSeat = new();
        using Births births = new(mailbox, delays, loopSeat, spawners);
        bool isColoured = !Console.IsErrorRedirected && Environment.GetEnvironmentVariable("NO_COLOR") is null or "";
        using ConsoleRedirect console = ConsoleRedirect.Begin();
        (ILogger logger, Action<LogFormat, LogSeverity> adoptLog) = SupervisorLogging.Create(
            definition.LogFormat, definition.LogLevel, isColoured, console.Say);
        using LogPump pump = LogPump.TryStart(new LogPumpOptions
        {
            Post = mailbox.Post,
            Describe = Defect.DescribeWithStack,
            Noticed = notice =>
            {
                if (notice is PumpNotice.FilesReopened)
                    SupervisorLog.PumpTold(logger, notice.ToString());
                else
                    SupervisorLog.Pump(logger, notice.ToString());
            },
            Display = console.Output,
            WritesByProcess = births.Carrier == SpawnCarrier.Clone,
            Style = OutputStyle.Detect(console.Output.IsTerminal, Environment.GetEnvironmentVariable),
        }) ?? throw new StartRefusedException(Worker.Refusal, ExitCode.SystemRefused);
        console.Attach(pump);
        ShowAs(definition.LogFormat);
        pump.KnowServices(definition.Services.Select(s => (s.Name.Text, s.InstanceCount)));
        using FileDescriptor nothing = OpenNull();
        Journal journal = new();
        using NotifySockets notifySockets = new(loop, delays, directory.NotifyDirectory, lanes);
        HostParts parts = new()
        {
            Loop = loop,
            Mailbox = mailbox,
            Delays = delays,
            NotifySockets = notifySockets,
            Lanes = lanes,
            PathConnects = new PathConnects(mailbox),
            Directory = directory,
            Descriptors = descriptors,
            Launcher = new Launcher(descriptors, pump, nothing, console, notifySockets, fileLimit, directory.Mark),
            Births = births,
            LoopSeat = loopSeat,
            Pump = pump,
            Journal = journal,
            Logger = logger,
            StartedAt = startedAt,
            Offer = offer,
            Inherited = inherited,
            Keeper = keeper,
            Heritage = heritage,
            // Nobody goes on where nothing can be read again.
            KeepsState = keeper is not null || source is not null,
            Manager = OpenManager(offer, loop, delays, logger),
            Drain = () => console.Drain(pump, OutputPatience),
            AdoptLog = (format, least) =>
            {
                adoptLog(format, least);
                ShowAs(format);
            },
        };
        int code;
        using (HostComposition host = new(new AdoptedConfiguration(definition, source, exitWith), parts, control))
        using (beside?.Invoke(host))
        {
            Announce(definition, parts, warnings, pump, endedCount);
            if (left.EndedCount > 0)
            {
                SupervisorLog.Hindered(logger, "a supervisor of this runtime directory was killed: "
                    + $"{left.EndedCount} of its processes still ran and were ended, and their listeners were kept open");
            }
            if (keeper is not null)
            {
                keeper.OnGone = _ => SupervisorLog.Hindered(
                    logger, "the keeper has ended: nothing is held for the supervisor any more, and only another 'run' starts it anew");
            }
            foreach ((string name, string address) in inherited.Unused)
            {
                SupervisorLog.Hindered(logger, $"the service manager has passed {name["inherited:".Length..]} ({address}), which no "
                    + $"socket of the configuration takes: write listen = \"{name}\"");
            }
            foreach (string lack in KernelFacts.Lacks(isSupervisor: true))
                SupervisorLog.Hindered(logger, lack);
            if (births.Carrier == SpawnCarrier.Exec)
                SupervisorLog.BirthsByHelper(logger);
            try
            {
                // Whoever ends with a defect leaves programs behind, which the next one is to find.
                directory.LeavesSockets = true;
                code = host.Run(pause);
            }
            catch (Exception defect) when (keeper is not null && EndAtOnce(defect))
            {
                throw;
            }
            directory.LeavesSockets = false;
            keeper?.Ending(code);
            host.Control.AnswerShutdown();
        }
        SupervisorLog.Ended(logger, code);
        console.Drain(pump, OutputPatience);
        return code;

        void ShowAs(LogFormat format)
        {
            bool isJson = format == LogFormat.Json;
            pump.ShowAsJson(isJson);
            console.Output.SpeaksJson = console.Error.SpeaksJson = isJson;
        }
    }

    /// <summary>A manager that cannot be reached is no reason not to serve: that is said, and it will say what it thinks of it.</summary>
    private static ManagerLink? OpenManager(ManagerOffer offer, EventLoop loop, Delays delays, ILogger logger)
    {
        if (offer.NotifySocket is not { } address)
            return null;
        if (!ManagerLink.Open(loop, delays, address).TryGet(out ManagerLink? link, out OpenFailure? failure))
        {
            SupervisorLog.Hindered(logger, $"the service manager's NOTIFY_SOCKET cannot be used: {failure}");
            return null;
        }
        link.OnLost = reason =>
        {
            link.OnLost = null;
            SupervisorLog.Hindered(logger, $"the service manager does not hear the supervisor any more: {reason}");
        };
        return link;
    }

    /// <summary>
    /// Makes this process a supervisor in the eyes of the kernel: a subreaper, with all the descriptors that it may have.
    /// </summary>
    private static (ulong Soft, ulong Hard) BecomeSupervisor(SupervisorDefinition definition)
    {
        _ = Libc.prctl(Libc.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
        fixed (byte* name = System.Text.Encoding.UTF8.GetBytes(definition.ProcessName + "\0"))
            _ = Libc.prctl(Libc.PR_SET_NAME, (nuint)name, 0, 0, 0);
        // Where it is not allowed, services that compute without end make their supervisor as slow as they make each other.
        _ = Autogroup.TryRaise();
        // Every call that makes a file or a directory gives its mode.
        _ = Libc.umask(0);
        return InheritedFileLimit.Raise();
    }

    private static void Announce(SupervisorDefinition definition, HostParts parts, IReadOnlyList<Diagnostic> warnings, LogPump pump,
        int endedCount)
    {
        foreach (Diagnostic warning in warnings)
            SupervisorLog.Configuration(parts.Logger, DiagnosticPrinter.OneLine(warning));
        if (DescriptorNeed.WarningFor(definition) is { } need)
            SupervisorLog.Hindered(parts.Logger, need);
        Heritage? former = parts.Heritage is { IsFirst: false } found ? found : null;
        string reason = former is null ? "fresh" : former.State is null ? "restarted" : former.IsAdopted ? "adopted"
            : IsUpgrade(former) ? "upgrade" : "restored";
        bool isUpgrade = former is not null && IsUpgrade(former);
        parts.Journal.Add(new SupervisorStarted(reason, Environment.ProcessId, isUpgrade ? null : former?.FormerEnd));
        if (former is { IsAdopted: true, FormerEnd: { } killed })
            SupervisorLog.Adopts(parts.Logger, killed);
        else if (!isUpgrade && former?.FormerEnd is { } end)
            SupervisorLog.Restarted(parts.Logger, end);
        if (former?.Answer.LostNames is { Count: > 0 } lost)
        {
            SupervisorLog.Hindered(parts.Logger, $"{lost.Count} descriptors of the supervisor before it could not be taken back for want "
                + $"of numbers, the first is {lost[0]}: raise the limit of open files (ulimit -Hn)");
        }
        if (former?.WhyFresh is { } why)
        {
            SupervisorLog.Hindered(parts.Logger, "starts afresh, with the listeners of the supervisor before it, but without its "
                + $"{endedCount} processes, which were ended: what that has written down cannot be used: {why}");
        }
        List<(string, string)> opened = [];
        foreach (HeldSocket socket in parts.Descriptors.Sockets)
        {
            foreach (OpenedListener listener in socket.Opened)
            {
                parts.Journal.Add(new ListenerOpened(socket.Key, listener.Address));
                opened.Add((socket.Key, listener.Address));
            }
        }
        if (definition.LogFormat == LogFormat.Pretty && definition.LogLevel <= LogSeverity.Information && opened.Count > 0)
        {
            int width = opened.Max(o => o.Item1.Length);
            pump.Print(System.Text.Encoding.UTF8.GetBytes(string.Concat(opened.Select(o => $"{o.Item1.PadRight(width)}  {o.Item2}\n"))));
        }
        if (definition.RuntimeDirectory.StartsWith(ConfigReader.SharedDirectory(Libc.geteuid()), StringComparison.Ordinal)
            && UserRuntimeDirectory.WhyPassedOver() is { } passedOver)
        {
            SupervisorLog.Hindered(parts.Logger, passedOver);
        }
        int count = definition.Services.Length;
        SupervisorLog.Running(parts.Logger, definition.Name, Environment.ProcessId, count, count == 1 ? "service" : "services",
            parts.Directory.ControlSocket);
    }

    /// <summary>
    /// Ends the process before anything is undone on the way out: another supervisor goes on with all of it. Called by a filter of
    /// exceptions, which runs while everything still stands.
    /// </summary>
    private static bool EndAtOnce(Exception defect)
    {
        byte[] text = System.Text.Encoding.UTF8.GetBytes(
            $"launchd-cs: the supervisor dies of an error of its own: {Defect.Describe(defect)}\n");
        fixed (byte* start = text)
            _ = Libc.write(2, start, (nuint)text.Length);
        _ = Libc.syscall(SystemCallNumbers.exit_group, (int)ExitCode.InternalError, 0, 0, 0, 0, 0);
        return false;
    }

    private static bool IsUpgrade(Heritage former) => former.Answer.History.Upgrade == (int)KeeperUpgradeState.Upgraded;

    /// <summary>
    /// Makes a spawner for each processor, from two to eight, and one for the thread that runs the loop. They live as long as the
    /// process, because threads that hang may hold some at its end.
    /// </summary>
    private static List<Spawner> MakeSpawners(SpawnCarrier? carrier, ulong fileLimit)
    {
        try
        {
            List<Spawner> spawners = [new Spawner(OpenNull(), carrier, BirthAudit.FromEnvironment())];
            // Where descriptors are few, they are kept for listeners and instances, and a birth takes longer.
            bool hasPlenty = fileLimit >= PlentyOfDescriptors;
            while (spawners.Count <= Math.Clamp(Environment.ProcessorCount, 2, 8))
                spawners.Add(spawners[0].Another(hasPlenty ? OpenNull() : null));
            return spawners;
        }
        catch (SystemCallException refused) when (refused.Errno == Errno.EMFILE)
        {
            throw TooFewDescriptors(fileLimit);
        }
    }

    /// <summary>A supervisor that could start nothing says so at once, and not with each client that comes.</summary>
    private static void RequireRoom(ulong fileLimit)
    {
        List<FileDescriptor> taken = [];
        try
        {
            while (taken.Count < LeastRoom)
                taken.Add(Files.Open(null, "/dev/null", Libc.O_CLOEXEC, 0, out _) ?? throw TooFewDescriptors(fileLimit));
        }
        finally
        {
            taken.ForEach(t => t.Dispose());
        }
    }

    private static StartRefusedException TooFewDescriptors(ulong fileLimit) => new(
        $"the hard limit of open files, {fileLimit}, is too low to start anything: raise it, to 1024 or more (ulimit -Hn)",
        ExitCode.SystemRefused);

    private static FileDescriptor OpenNull() => Files.Open(null, "/dev/null", 2 | Libc.O_CLOEXEC, 0, out Errno refused)
        ?? throw new StartRefusedException($"cannot open /dev/null: {refused.Text}", ExitCode.SystemRefused);
}
