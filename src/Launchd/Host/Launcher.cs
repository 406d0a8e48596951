using System.Collections.Immutable;
using System.Globalization;
using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Logs;
using Launchd.Linux;
using Launchd.Model;

namespace Launchd.Host;

/// <summary>
/// Turns a definition and the descriptors of one instance into a <see cref="SpawnRequest"/>: who gets which number, the environment, the
/// placeholders, the candidates of the program. What is opened for the child alone is closed again once it is born.
/// </summary>
internal sealed class Launcher(
    DescriptorTable descriptors, Spawner spawner, LogPump pump, FileDescriptor nothing, ConsoleRedirect console, NotifySockets notifySockets,
    (ulong Soft, ulong Hard) inheritedFileLimit)
{
    private const int PipeCloseOnExec = 0x80000;

    private readonly LaunchOutlines _outlines = new(inheritedFileLimit);

    /// <summary>Starts the main process of an instance. Null: it runs; else why not, and the instance holds nothing that matters.</summary>
    /// <param name="instance">Gets its process, notify socket and pipes.</param>
    /// <param name="connection">Accepted for it; borrowed. Null: none.</param>
    /// <param name="prepared">The connections that were made for it, borrowed.</param>
    /// <param name="stored">Descriptors of its store, borrowed, in the order in which they follow the files.</param>
    /// <param name="onReady">Called on the loop when its output matches <c>ready = { output = … }</c>.</param>
    public Failure.SpawnFailed? Start(RunningInstance instance, AcceptedConnection? connection, Preparations.Preparation prepared,
        IReadOnlyList<(string Name, FileDescriptor Descriptor)> stored, Action onReady)
    {
        ServiceDefinition service = instance.Definition;
        ResolvedUser user = instance.User;
        if (user.Problem is { } problem)
            return Refuse(service, "user", Errno.ESRCH, problem);
        using Birth birth = new();
        if (OpenNotify(instance, service) is { } notifyRefused)
            return notifyRefused;
        if (GatherPassed(instance, birth, connection, prepared, stored) is { } refused)
            return refused;
        if (GatherStandard(instance, birth, connection, user, onReady) is { } standardRefused)
            return standardRefused;
        if (OpenReadyPipe(instance, birth, service) is { } readyRefused)
            return readyRefused;
        if (!birth.OpenChannel(instance, out Errno channelRefused))
            return Refuse(service, "channel", channelRefused, $"instance channel: {channelRefused.Text}");
        LaunchOutline outline = _outlines.Of(service, user);
        if (BuildEnvironment(instance, birth, connection, outline, out List<string> environment, out string? searchPath) is { } environmentRefused)
            return environmentRefused;
        SpawnRequest request = Describe(instance, birth, outline, service.Command, environment, searchPath, isMain: true);
        if (spawner.Start(request, out PidFd? child) is { } failure)
            return Explain(service, request, failure);
        instance.Process = child;
        instance.Group = child!.Pid;
        return null;
    }

    /// <summary>Starts a command beside an instance (stop, reload, probe) with the service's surroundings and <c>MAINPID</c>.</summary>
    public PidFd? StartCommand(RunningInstance instance, ImmutableArray<string> arguments, out string? refused)
    {
        ServiceDefinition service = instance.Definition;
        ResolvedUser user = instance.User;
        using Birth birth = new();
        refused = user.Problem;
        if (refused is not null)
            return null;
        birth.Standard(nothing.Number, nothing.Number, nothing.Number);
        if (service.Output is OutputTarget.Log && OpenLogPipe(instance, birth, user, "command", addToPump: true) is { } pipe)
            birth.Standard(nothing.Number, pipe.Number, pipe.Number);
        LaunchOutline outline = _outlines.Of(service, user);
        if (BuildEnvironment(instance, birth, null, outline, out List<string> environment, out string? searchPath) is { } failed)
        {
            refused = failed.Text;
            return null;
        }
        environment.Add($"MAINPID={instance.Process?.Pid ?? 0}");
        SpawnRequest request = Describe(instance, birth, outline, arguments, environment, searchPath, isMain: false);
        if (spawner.Start(request, out PidFd? child) is { } failure)
            refused = Describe(service, request, failure);
        return child;
    }

    private static SpawnRequest Describe(RunningInstance instance, Birth birth, LaunchOutline outline, ImmutableArray<string> command,
        List<string> environment, string? searchPath, bool isMain)
    {
        Execution execution = instance.Definition.Execution;
        (string[] arguments, string[] candidates) = isMain && outline.Command is { } same ? same : Resolve(instance, birth, command, searchPath);
        return new SpawnRequest
        {
            Arguments = arguments,
            Candidates = candidates,
            Environment = environment,
            PidVariables = isMain ? birth.PidVariables : [],
            PidfdVariable = isMain && birth.PidVariables.Contains("LISTEN_PID") ? "LISTEN_PIDFDID" : null,
            Descriptors = birth.Mappings(),
            WorkingDirectory = execution.WorkingDirectory,
            EntersAsUser = BorrowedRights.AreLess(outline.User.Credentials) && IsForeign(execution.WorkingDirectory, outline.User.Credentials!),
            Umask = execution.Umask,
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

    private static (string[] Arguments, string[] Candidates) Resolve(RunningInstance instance, Birth birth, ImmutableArray<string> command, string? searchPath)
    {
        string[] arguments = [.. command.Select(a => Placeholders.Resolve(a, n => ValueOf(n, instance, birth)))];
        return (arguments, ProgramSearch.CandidatesOf(arguments[0], searchPath));
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
    private Failure.SpawnFailed? GatherPassed(RunningInstance instance, Birth birth, AcceptedConnection? connection, Preparations.Preparation prepared,
        IReadOnlyList<(string Name, FileDescriptor Descriptor)> stored)
    {
        ServiceDefinition service = instance.Definition;
        bool isInetd = service.Input is InputSource.Socket;
        if (!isInetd && connection is not null)
            birth.Pass(connection.Name, connection.Descriptor.Number, null);
        if (!isInetd && connection is null)
        {
            foreach ((ListenerDefinition definition, OpenedListener listener) in instance.Provision.Listeners(instance.Slot))
            {
                birth.Pass(definition.Name, listener.Descriptor.Number, definition.Key);
                descriptors.Give(instance, listener.Descriptor);
            }
        }
        foreach (HeldFile held in instance.Provision.Files)
        {
            string key = held.Definition.Key;
            if (prepared.Find(key) is { } made)
            {
                birth.Pass(key, made.Number, key);
                continue;
            }
            if (!instance.Provision.Open(held, out bool isOwned).TryGet(out FileDescriptor? file, out OpenFailure? failure))
                return Refuse(service, "file", failure.Errno, $"file \"{key}\": {failure}");
            if (isOwned)
                birth.Own(file);
            birth.Pass(key, file.Number, key);
        }
        foreach ((string name, FileDescriptor descriptor) in stored)
            birth.Pass(name, descriptor.Number, null);
        return null;
    }

    private Failure.SpawnFailed? GatherStandard(RunningInstance instance, Birth birth, AcceptedConnection? connection, ResolvedUser user, Action onReady)
    {
        ServiceDefinition service = instance.Definition;
        int socket = connection?.Descriptor.Number ?? -1;
        if (connection is null && service.Input is InputSource.Socket)
        {
            FileDescriptor listener = instance.Provision.Listeners(instance.Slot).First().Listener.Descriptor;
            descriptors.Give(instance, listener);
            socket = listener.Number;
        }
        int input = nothing.Number;
        if (service.Input is InputSource.Socket)
            input = socket;
        if (service.Input is InputSource.File file)
        {
            FileRequest wanted = new() { Path = file.FilePath, User = user.Credentials };
            if (!FileOpener.Open(wanted).TryGet(out FileDescriptor? opened, out OpenFailure? failure))
                return Refuse(service, "input", failure.Errno, $"input {failure}");
            birth.Own(opened);
            input = opened.Number;
        }
        if (service.Ready is Readiness.Output pattern)
            pump.WatchForMatch(instance.Id.Number, pattern.Pattern, onReady);
        if (OpenOutput(instance, birth, service.Output, "output", socket, console.OriginalOutput, user, out int output) is { } refused)
            return refused;
        int error = output;
        bool isSame = service.Error == service.Output && service.Error is not OutputTarget.Inherit;
        if (!isSame && OpenOutput(instance, birth, service.Error, "error", socket, console.OriginalError, user, out error) is { } errorRefused)
            return errorRefused;
        birth.Standard(input, output, error);
        return null;
    }

    private Failure.SpawnFailed? OpenOutput(
        RunningInstance instance, Birth birth, OutputTarget target, string stream, int socket, FileDescriptor inherited, ResolvedUser user, out int number)
    {
        number = nothing.Number;
        switch (target)
        {
            case OutputTarget.Log:
                if (OpenLogPipe(instance, birth, user, stream, addToPump: true) is not { } pipe)
                    return Refuse(instance.Definition, stream, Errno.Last, $"{stream}: pipe: {Errno.Last.Text}");
                number = pipe.Number;
                return null;
            case OutputTarget.Inherit:
                number = inherited.Number;
                return null;
            case OutputTarget.Socket:
                number = socket;
                return null;
            case OutputTarget.File file:
                if (!FileOpener.OpenOutput(file.FilePath, user.Credentials).TryGet(out FileDescriptor? opened, out OpenFailure? failure))
                    return Refuse(instance.Definition, stream, failure.Errno, $"{stream} {failure}");
                birth.Own(opened);
                number = opened.Number;
                return null;
            default:
                return null;
        }
    }

    private unsafe FileDescriptor? OpenLogPipe(RunningInstance instance, Birth birth, ResolvedUser user, string stream, bool addToPump)
    {
        int* ends = stackalloc int[2];
        if (HostLibc.pipe2(ends, PipeCloseOnExec) != 0)
            return null;
        FileDescriptor readEnd = new(ends[0]), writeEnd = new(ends[1]);
        birth.Own(writeEnd);
        // A program of another user may open /dev/stderr anew, which the kernel checks against the pipe's owner.
        if (user.Credentials is { } who)
            _ = HostLibc.fchown(writeEnd.Number, who.Uid, who.Gid);
        if (addToPump)
        {
            ServiceDefinition service = instance.Definition;
            pump.Add(new OutputSource { InstanceId = instance.Id.Number, Service = service.Name.Text, Slot = instance.Slot, Stream = stream,
                File = service.Log }, readEnd);
            instance.HasLogPipe = true;
        }
        return writeEnd;
    }

    private static unsafe Failure.SpawnFailed? OpenReadyPipe(RunningInstance instance, Birth birth, ServiceDefinition service)
    {
        if (service.Ready is not Readiness.Descriptor ready)
            return null;
        int* ends = stackalloc int[2];
        if (HostLibc.pipe2(ends, PipeCloseOnExec | 0x800) != 0)
            return Refuse(service, "ready", Errno.Last, $"ready: pipe: {Errno.Last.Text}");
        instance.ReadyPipe = new FileDescriptor(ends[0]);
        FileDescriptor writeEnd = new(ends[1]);
        birth.Own(writeEnd);
        birth.PassAt(ready.Number, writeEnd.Number);
        return null;
    }

    private static Failure.SpawnFailed? BuildEnvironment(
        RunningInstance instance, Birth birth, AcceptedConnection? connection, LaunchOutline outline, out List<string> environment, out string? searchPath)
    {
        environment = [];
        searchPath = outline.SearchPath;
        IReadOnlyList<string>? texts = outline.Environment;
        if (texts is null && ReadEnvironment(instance, birth, outline, out texts, out searchPath) is { } refused)
            return refused;
        environment.EnsureCapacity(texts.Count + 16);
        // First, so that whoever looks for the mark in the environment of a process finds it at once, however much else there is.
        environment.Add(InstanceMark.Variable(instance.Mark));
        environment.Add(InstanceMark.NumberName + "=" + instance.Id.Number.ToString(CultureInfo.InvariantCulture));
        environment.AddRange(texts);
        AddProtocol(instance, birth, connection, environment);
        return null;
    }

    private static Failure.SpawnFailed? ReadEnvironment(
        RunningInstance instance, Birth birth, LaunchOutline outline, out IReadOnlyList<string> texts, out string? searchPath)
    {
        ServiceDefinition service = instance.Definition;
        Dictionary<string, string> variables = LaunchOutline.Begin(service, outline.User);
        texts = [];
        searchPath = null;
        foreach (EnvironmentFile file in service.Execution.EnvironmentFiles)
        {
            if (EnvironmentFileReader.Read(file.FilePath, outline.User.Credentials, variables) is { } problem && !file.IsOptional)
                return Refuse(service, "environment file", Errno.ENOENT, $"environment file {file.FilePath}: {problem}");
        }
        foreach (EnvironmentVariable set in service.Execution.Environment.Where(v => !v.IsPassed))
            variables[set.Name] = Placeholders.Resolve(set.Value, n => ValueOf(n, instance, birth));
        searchPath = variables.GetValueOrDefault("PATH");
        texts = LaunchOutline.Texts(variables, service);
        return null;
    }

    private static void AddProtocol(RunningInstance instance, Birth birth, AcceptedConnection? connection, List<string> environment)
    {
        ServiceDefinition service = instance.Definition;
        if (birth.Names.Count > 0 && service.ListenEnvironment)
        {
            environment.Add("LISTEN_FDS=" + birth.Names.Count.ToString(CultureInfo.InvariantCulture));
            environment.Add("LISTEN_FDNAMES=" + string.Join(':', birth.Names));
            birth.PidVariables.Add("LISTEN_PID");
        }
        if (instance.Notify is { } notify)
            environment.Add("NOTIFY_SOCKET=" + notify.Path);
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

    // What is opened for the child before its birth is the supervisor's, so it is the supervisor that has nothing left.
    private static Failure.SpawnFailed Refuse(ServiceDefinition service, string stage, Errno errno, string text) =>
        new(stage, errno.Value, $"cannot start {service.Name}: {text}") { IsShortage = errno.IsShortage };

    private static Failure.SpawnFailed Explain(ServiceDefinition service, SpawnRequest request, SpawnFailure failure) =>
        new(Words(failure.Stage), failure.Errno.Value, $"cannot start {service.Name}: {Describe(service, request, failure)}")
        {
            // Past that stage the child's own limits decide, and they will be the same the next time.
            IsShortage = failure.Stage == SpawnStage.Clone && (failure.Errno.IsShortage || failure.Errno == Errno.EAGAIN),
        };

    private static string Describe(ServiceDefinition service, SpawnRequest request, SpawnFailure failure)
    {
        Execution execution = service.Execution;
        return failure.Stage switch
        {
            SpawnStage.Exec => $"exec \"{request.Arguments[0]}\": {ExecText(failure.Errno)}",
            SpawnStage.WorkingDirectory => $"working directory {request.WorkingDirectory}: {failure.Errno.Text}"
                + (failure.Errno == Errno.EACCES && execution.User is { } who ? $" (it is entered with the rights of \"{who}\")" : ""),
            SpawnStage.User or SpawnStage.Group or SpawnStage.Groups or SpawnStage.Verify =>
                $"user \"{execution.User ?? execution.Group}\": {failure.Errno.Text}" + (failure.Errno == Errno.EPERM ? " (changing users needs root)" : ""),
            SpawnStage.Limits => $"limits: {failure.Errno.Text}" + (failure.Errno == Errno.EPERM ? " (raising a hard limit needs root)" : ""),
            SpawnStage.Nice => $"nice {execution.Nice}: {failure.Errno.Text}" + (failure.Errno == Errno.EACCES
                ? " (a value below the present one needs root)" : ""),
            _ => $"{Words(failure.Stage)}: {failure.Errno.Text}",
        };
    }

    private static string ExecText(Errno errno) =>
        errno == Errno.ENOEXEC ? errno.Text + " (a script needs a first line such as #!/bin/sh)" : errno.Text;

    private static string Words(SpawnStage stage) => stage switch
    {
        SpawnStage.OomScore => "oom score",
        SpawnStage.WorkingDirectory => "working directory",
        SpawnStage.ParentDeath => "parent death signal",
        SpawnStage.NoNewPrivileges => "no new privileges",
        _ => stage.ToString().ToLowerInvariant(),
    };
}
