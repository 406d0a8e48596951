using System.Collections.Immutable;
using System.Globalization;
using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Listeners;
using Launchd.Host.Provisioning;
using Launchd.Linux.Listening;
using Launchd.Linux.Memory;
using Launchd.Linux.Paths;
using Launchd.Linux.Processes;
using Launchd.Linux.Spawning;
using Launchd.Logs;
using Launchd.Model;

namespace Launchd.Host.Launching;

/// <summary>
/// Turns a definition and the descriptors of one instance into the order of a birth, and on the thread of the birth into a
/// <see cref="SpawnRequest"/>: which descriptor gets which number, the environment, the placeholders, the paths at which the program may
/// lie. What is opened for the child alone is closed again once the child is born.
/// </summary>
internal sealed partial class Launcher(
    DescriptorTable descriptors, LogPump pump, FileDescriptor nothing, ConsoleRedirect console, NotifySockets notifySockets,
    (ulong Soft, ulong Hard) inheritedFileLimit, string supervisorMark)
{
    private readonly LaunchOutlines _outlines = new(inheritedFileLimit);

    /// <summary>Where children write their pids for a supervisor after this one; null: there is none.</summary>
    public SharedSlots? BirthSlots { get; set; }

    /// <summary>
    /// Told of each descriptor by which the supervisor goes on with an instance: whose it is, what it is, and the descriptor, borrowed.
    /// Null: nobody wants to know.
    /// </summary>
    public Action<RunningInstance, string, FileDescriptor>? OnOpened { get; set; }

    /// <summary>
    /// Orders the birth of an instance's main process: what the loop owns is gathered now, and everything that may wait for a file system
    /// is left to the thread of the birth. Null: the birth is refused, and the instance holds nothing that matters.
    /// </summary>
    /// <param name="instance">Gets its notify socket and pipes, and with the birth its process.</param>
    /// <param name="connection">The connection that was accepted for the instance; borrowed until the birth is over. Null: none.</param>
    /// <param name="first">What is done on the thread of the birth before anything else, with what it may wait for in words.</param>
    /// <param name="prepared">The connections that were made for the instance, borrowed as well.</param>
    /// <param name="stored">Descriptors of the service's store, in the order in which they follow the files.</param>
    /// <param name="onReady">Called on the loop when its output matches <c>ready = { output = … }</c>.</param>
    /// <param name="then">Called on the loop with what became of the birth.</param>
    /// <param name="cleanup">Called on the loop when nothing of the birth is left.</param>
    /// <param name="refused">Why there is no order.</param>
    public BirthOrder? Order(RunningInstance instance, AcceptedConnection? connection,
        IReadOnlyList<(string WaitsFor, Action Work)> first, Preparations.Preparation prepared,
        IReadOnlyList<(string Name, FileDescriptor Descriptor)> stored, Action onReady, Action<BirthOrder> then, Action cleanup,
        out Failure.SpawnFailed? refused)
    {
        ServiceDefinition service = instance.Definition;
        ResolvedUser user = instance.User;
        refused = user.Problem is { } problem ? Refuse(service, "user", Errno.ESRCH, problem) : null;
        if (refused is not null)
            return null;
        Birth birth = new();
        foreach ((string waitsFor, Action work) in first)
            birth.Before(waitsFor, work);
        refused = OpenNotify(instance, service);
        refused ??= GatherPassed(instance, birth, connection, prepared, stored);
        refused ??= GatherStandard(instance, birth, connection, user, onReady);
        refused ??= OpenReadyPipe(instance, birth, service);
        if (refused is null && !birth.OpenChannel(instance, out Errno channelRefused))
            refused = Refuse(service, "channel", channelRefused, $"instance channel: {channelRefused.Text}");
        if (refused is not null)
        {
            birth.Dispose();
            return null;
        }
        OnOpened?.Invoke(instance, HeldParts.Channel, instance.ChannelEnd!);
        LaunchOutline outline = _outlines.Of(service, user);
        string? notifyPath = instance.Notify?.Path;
        BirthOrder ordered = new(service.Name, birth, Work, then) { Cleanup = cleanup };
        if (BirthSlots is { } slots)
            ordered.Share(slots, instance.Id.Number);
        return ordered;

        Failure.SpawnFailed? Work(BirthOrder order, Spawner spawner) =>
            GiveBirth(order, spawner, instance, birth, outline, service.Command, connection, notifyPath, mainPid: null);
    }

    /// <summary>
    /// Orders the birth of a command beside an instance (stop, reload, probe) with the service's surroundings and <c>MAINPID</c>.
    /// </summary>
    /// <returns>Null: it is refused.</returns>
    public BirthOrder? OrderCommand(
        RunningInstance instance, ImmutableArray<string> arguments, Action<BirthOrder> then, out string? refused)
    {
        ServiceDefinition service = instance.Definition;
        ResolvedUser user = instance.User;
        refused = user.Problem;
        if (refused is not null)
            return null;
        Birth birth = new();
        birth.Input(nothing.Number);
        birth.Output(nothing.Number);
        birth.Error(nothing.Number);
        if (service.Output is OutputTarget.Log && OpenLogPipe(instance, birth, CommandStream) is { } pipe)
        {
            birth.Output(pipe.Number);
            birth.Error(pipe.Number);
        }
        LaunchOutline outline = _outlines.Of(service, user);
        string? notifyPath = instance.Notify?.Path;
        int mainPid = instance.Process?.Pid ?? 0;
        return new BirthOrder(service.Name, birth, Work, then);

        Failure.SpawnFailed? Work(BirthOrder order, Spawner spawner) =>
            GiveBirth(order, spawner, instance, birth, outline, arguments, connection: null, notifyPath, mainPid);
    }

    // On the thread of the birth, which may read only what never changes of the instance. A command gets the pid of the main
    // process; for the main process itself that is null.
    private unsafe Failure.SpawnFailed? GiveBirth(BirthOrder order, Spawner spawner, RunningInstance instance, Birth birth,
        LaunchOutline outline, ImmutableArray<string> command, AcceptedConnection? connection, string? notifyPath, int? mainPid)
    {
        ServiceDefinition service = instance.Definition;
        if (birth.OpenAll(waitsFor => order.WaitsFor = waitsFor) is (string stage, Errno errno, string text))
            return Refuse(service, stage, errno, text);
        Failure.SpawnFailed? refused = BuildEnvironment(
            order, instance, birth, connection, outline, notifyPath, out List<string> environment, out string? searchPath);
        if (refused is not null)
            return refused;
        if (mainPid is { } pid)
            environment.Add($"MAINPID={pid}");
        order.WaitsFor = $"working directory {service.Execution.WorkingDirectory}, or the program \"{command[0]}\"";
        SpawnRequest request = Describe(instance, birth, outline, command, environment, searchPath, isMain: mainPid is null);
        // The birth may have been given up while this thread waited for a file system: hours later, the program must not run.
        if (order.IsGivenUp)
            return order.Failure;
        order.IsCloning = spawner.Carrier == SpawnCarrier.Clone;
        SpawnFailure? failure = spawner.Start(request, out ProcessHandle? child, order.Seen, order.AwaitStop);
        order.IsCloning = false;
        if (failure is { } why)
            return Explain(service, request, why);
        order.Child = child;
        // The loop marks a birth as given up before it looks for a pid, and here the pid is stored before the mark is looked at: at
        // least one of the two threads sees what the other wrote.
        Interlocked.MemoryBarrier();
        if (order.IsGivenUp)
            Births.End(child!);
        return null;
    }

    private static SpawnRequest Describe(RunningInstance instance, Birth birth, LaunchOutline outline, ImmutableArray<string> command,
        List<string> environment, string? searchPath, bool isMain)
    {
        Execution execution = instance.Definition.Execution;
        (string[] arguments, string[] candidates) = isMain && outline.Command is { } same
            ? same
            : Resolve(instance, birth, command, searchPath);
        return new SpawnRequest
        {
            Arguments = arguments,
            Candidates = candidates,
            Environment = environment,
            PidVariables = isMain ? birth.PidVariables : [],
            PidfdVariable = isMain && birth.PidVariables.Contains("LISTEN_PID") ? "LISTEN_PIDFDID" : null,
            Descriptors = birth.Mappings(),
            TakesTerminal = birth.HasTerminal,
            WorkingDirectory = execution.WorkingDirectory,
            EntersAsUser = BorrowedRights.AreLess(outline.User.Credentials)
                && IsForeign(execution.WorkingDirectory, outline.User.Credentials!),
            Umask = execution.Umask,
            PinnedPaths = birth.PinnedPaths,
            Credentials = outline.User.Credentials,
            Limits = outline.Limits,
            Nice = execution.Nice,
            OomScoreAdjust = execution.OomScoreAdjust,
            BoundingSet = execution.Capabilities,
            AmbientSet = execution.AmbientCapabilities,
            NoNewPrivileges = execution.NoNewPrivileges,
            ParentDeathSignal = execution.ParentDeathSignal?.Value ?? 0,
            IgnoreSigpipe = execution.IgnoreSigpipe,
        };
    }

    private static bool IsForeign(string path, Credentials user)
    {
        using PathWalk walk = PathWalk.Along(path, user);
        return !walk.IsRoots;
    }

    private static (string[] Arguments, string[] Candidates) Resolve(
        RunningInstance instance, Birth birth, ImmutableArray<string> command, string? searchPath)
    {
        string[] arguments = [.. command.Select(a => Placeholders.Resolve(a, n => ValueOf(n, instance, birth)))];
        return (arguments, ProgramSearch.CandidatesOf(arguments[0], searchPath));
    }

    private void Give(RunningInstance instance, Birth birth, ListenerDefinition definition, OpenedListener listener)
    {
        if (definition.PinPath && listener.Path is { Kind: PathKind.Socket or PathKind.Fifo } path)
            birth.PinnedPaths.Add(new PinnedPath(path.Path, path.Device, path.Inode));
        descriptors.Give(instance, listener);
    }

    private Failure.SpawnFailed? OpenNotify(RunningInstance instance, ServiceDefinition service)
    {
        if (service.NotifyAccess == NotifyAccess.None)
            return null;
        instance.Notify = notifySockets.Take(instance, out Errno refused);
        return instance.Notify is null ? Refuse(service, "notify socket", refused, $"notify socket: {refused.Text}") : null;
    }

    /// <summary>
    /// Descriptors from 3 on: the connection or the listeners, unless that is standard input, then files and stored ones.
    /// </summary>
    private Failure.SpawnFailed? GatherPassed(RunningInstance instance, Birth birth, AcceptedConnection? connection,
        Preparations.Preparation prepared, IReadOnlyList<(string Name, FileDescriptor Descriptor)> stored)
    {
        ServiceDefinition service = instance.Definition;
        bool isInetd = service.Input is InputSource.Socket;
        if (!isInetd && connection is not null)
            birth.Pass(connection.Name, connection.Descriptor, null);
        if (!isInetd && connection is null)
        {
            foreach ((ListenerDefinition definition, OpenedListener listener) in instance.Provision.Listeners(instance.Slot))
            {
                birth.Pass(definition.Name, listener.Descriptor, definition.Key);
                Give(instance, birth, definition, listener);
            }
        }
        foreach (HeldFile held in instance.Provision.Files)
        {
            string key = held.Definition.Key;
            if (prepared.Find(key) is { } made)
                birth.Pass(key, made, key);
            else if (held.Descriptor is { } shared)
                birth.Pass(key, shared, key);
            else
                birth.PassOpened(key, instance.Provision.Opening(held));
        }
        foreach ((string name, FileDescriptor descriptor) in stored)
            birth.Pass(name, descriptor, null);
        return null;
    }

    private Failure.SpawnFailed? BuildEnvironment(BirthOrder order, RunningInstance instance, Birth birth,
        AcceptedConnection? connection, LaunchOutline outline, string? notifyPath, out List<string> environment, out string? searchPath)
    {
        environment = [];
        searchPath = outline.SearchPath;
        IReadOnlyList<string>? texts = outline.Environment;
        if (texts is null && ReadEnvironment(order, instance, birth, outline, out texts, out searchPath) is { } refused)
            return refused;
        environment.EnsureCapacity(texts.Count + 16);
        // First, so that whoever looks for the mark in the environment of a process finds it at once, however much else there is.
        environment.Add(InstanceMark.Variable(instance.Mark, supervisorMark));
        environment.Add(InstanceMark.NumberName + "=" + instance.Id.Number.ToString(CultureInfo.InvariantCulture));
        environment.AddRange(texts);
        AddProtocol(instance, birth, connection, notifyPath, environment);
        return null;
    }

    private static Failure.SpawnFailed? ReadEnvironment(BirthOrder order,
        RunningInstance instance, Birth birth, LaunchOutline outline, out IReadOnlyList<string> texts, out string? searchPath)
    {
        ServiceDefinition service = instance.Definition;
        Dictionary<string, string> variables = LaunchOutline.Begin(service, outline.User);
        texts = [];
        searchPath = null;
        foreach (EnvironmentFile file in service.Execution.EnvironmentFiles)
        {
            order.WaitsFor = $"environment file {file.FilePath}";
            if (EnvironmentFileReader.Read(file, outline.User.Credentials, variables, order.Warnings) is { } problem)
                return Refuse(service, "environment file", Errno.ENOENT, $"environment file {file.FilePath}: {problem}");
        }
        foreach (EnvironmentVariable set in service.Execution.Environment.Where(v => !v.IsPassed))
            variables[set.Name] = Placeholders.Resolve(set.Value, n => ValueOf(n, instance, birth));
        searchPath = variables.GetValueOrDefault("PATH");
        texts = LaunchOutline.Texts(variables, service);
        return null;
    }

    private static void AddProtocol(
        RunningInstance instance, Birth birth, AcceptedConnection? connection, string? notifyPath, List<string> environment)
    {
        ServiceDefinition service = instance.Definition;
        if (birth.Names.Count > 0 && service.ListenEnvironment)
        {
            environment.Add("LISTEN_FDS=" + birth.Names.Count.ToString(CultureInfo.InvariantCulture));
            environment.Add("LISTEN_FDNAMES=" + string.Join(':', birth.Names));
            birth.PidVariables.Add("LISTEN_PID");
        }
        if (notifyPath is not null)
            environment.Add("NOTIFY_SOCKET=" + notifyPath);
        if (service.Watchdog is { } watchdog)
        {
            environment.Add("WATCHDOG_USEC=" + ((long)watchdog.TotalMicroseconds).ToString(CultureInfo.InvariantCulture));
            birth.PidVariables.Add("WATCHDOG_PID");
        }
        if (service.FdStoreCount > 0)
            environment.Add("FDSTORE=" + service.FdStoreCount.ToString(CultureInfo.InvariantCulture));
        connection?.AddTo(environment);
        if (birth.ChannelNumber > 0)
        {
            environment.Add("LAUNCHD_CHANNEL=" + birth.ChannelNumber.ToString(CultureInfo.InvariantCulture));
            birth.PidVariables.Add("LAUNCHD_PID");
        }
        environment.Add("LAUNCHD_SERVICE=" + service.Name.Text);
        environment.Add("LAUNCHD_SLOT=" + instance.Slot.ToString(CultureInfo.InvariantCulture));
        environment.Add("LAUNCHD_GENERATION=" + instance.Generation.ToString(CultureInfo.InvariantCulture));
    }

    private static string ValueOf(string placeholder, RunningInstance instance, Birth birth) => placeholder switch
    {
        "service" => instance.Definition.Name.Text,
        "slot" => instance.Slot.ToString(CultureInfo.InvariantCulture),
        "generation" => instance.Generation.ToString(CultureInfo.InvariantCulture),
        _ => birth.NumberOf(placeholder["fd:".Length..]).ToString(CultureInfo.InvariantCulture),
    };
}
