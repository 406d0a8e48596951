using Launchd.Client;
using Launchd.Core;
using Launchd.Host.Instances;
using Launchd.Host.Listeners;
using Launchd.Host.Provisioning;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Listening;
using Launchd.Linux.Paths;
using Launchd.Linux.Terminals;
using Launchd.Logs;
using Launchd.Model;

namespace Launchd.Host.Launching;

/// <content>Standard input, output and error, and the pipe of <c>ready = { descriptor = N }</c>.</content>
internal sealed partial class Launcher
{
    /// <summary>The stream of what commands write. A supervisor that comes after this one does not go on with them.</summary>
    private const string CommandStream = "command";

    /// <summary>Goes on with the streams of an instance that was born under a supervisor before this one.</summary>
    /// <param name="instance">Gets its pipe of readiness.</param>
    /// <param name="take">What was held for it, by the names of <see cref="HeldParts"/>; null: nothing was.</param>
    /// <param name="isReady">Nobody waits for its output any more.</param>
    /// <param name="onReady">As for <see cref="Order"/>.</param>
    public void Resume(RunningInstance instance, Func<string, FileDescriptor?> take, bool isReady, Action onReady)
    {
        if (!isReady && instance.Definition.Ready is Readiness.Output pattern)
        {
            pump.WatchForMatch(instance.Id.Number, pattern.Pattern, onReady);
            instance.IsKnownToPump = true;
        }
        foreach (string stream in (ReadOnlySpan<string>)[HeldParts.Output, HeldParts.Error])
        {
            if (take(stream) is not { } readEnd)
                continue;
            pump.Add(SourceOf(instance, stream), readEnd);
            instance.IsKnownToPump = true;
        }
        FileDescriptor? master = take(HeldParts.Terminal), slave = take(HeldParts.TerminalSlave);
        if (master is not null && slave is not null)
        {
            pump.AddTerminal(SourceOf(instance, HeldParts.Output), master, slave);
            instance.IsKnownToPump = true;
        }
        else
        {
            master?.Dispose();
            slave?.Dispose();
        }
        FileDescriptor? ready = take(HeldParts.ReadyPipe);
        if (isReady)
            ready?.Dispose();
        else
            instance.ReadyPipe = ready;
    }

    private Failure.SpawnFailed? GatherStandard(
        RunningInstance instance, Birth birth, AcceptedConnection? connection, ResolvedUser user, Action onReady)
    {
        ServiceDefinition service = instance.Definition;
        int socket = connection is null ? -1 : birth.Borrow(connection.Descriptor);
        if (connection is null && service.Input is InputSource.Socket)
        {
            (ListenerDefinition definition, OpenedListener listener) = instance.Provision.Listeners(instance.Slot).First();
            Give(instance, birth, definition, listener);
            socket = birth.Borrow(listener.Descriptor);
        }
        if (service.Ready is Readiness.Output pattern)
        {
            pump.WatchForMatch(instance.Id.Number, pattern.Pattern, onReady);
            instance.IsKnownToPump = true;
        }
        if (service.HasTerminal)
            return GiveTerminal(instance, birth, user);
        birth.Input(service.Input is InputSource.Socket ? socket : nothing.Number);
        if (service.Input is InputSource.File file)
        {
            FileRequest wanted = new() { Path = file.FilePath, User = user.Credentials };
            birth.Open("input", "input", () => FileOpener.Open(wanted), birth.Input);
        }
        if (service.Input is InputSource.Open && EndlessInput.Give(birth, user) is { Value: not 0 } failed)
            return Refuse(service, "input", failed, $"input = \"open\": {failed.Text}");
        bool isSame = service.Error == service.Output && service.Error is not OutputTarget.Inherit;
        Action<int> use = isSame ? Both : birth.Output;
        if (OpenOutput(instance, birth, service.Output, HeldParts.Output, socket, console.OriginalOutput, user, use) is { } refused)
            return refused;
        return isSame ? null
            : OpenOutput(instance, birth, service.Error, HeldParts.Error, socket, console.OriginalError, user, birth.Error);

        void Both(int number)
        {
            birth.Output(number);
            birth.Error(number);
        }
    }

    private Failure.SpawnFailed? OpenOutput(RunningInstance instance, Birth birth, OutputTarget target, string stream, int socket,
        FileDescriptor inherited, ResolvedUser user, Action<int> use)
    {
        switch (target)
        {
            case OutputTarget.Log:
                if (OpenLogPipe(instance, birth, stream) is not { } pipe)
                    return Refuse(instance.Definition, stream, Errno.Last, $"{stream}: pipe: {Errno.Last.Text}");
                use(pipe.Number);
                break;
            case OutputTarget.Inherit:
                // A named pipe is a file of somebody else's, and its mode is his affair.
                if (Files.ReadLink(null, Files.ProcPath(inherited)) is { } link && link.StartsWith("pipe:[", StringComparison.Ordinal))
                    LetOthersWrite(inherited);
                use(inherited.Number);
                break;
            case OutputTarget.Socket:
                use(socket);
                break;
            case OutputTarget.File file:
                birth.Open(stream, stream, () => FileOpener.OpenOutput(file.FilePath, user.Credentials), use);
                break;
            default:
                use(nothing.Number);
                break;
        }
        return null;
    }

    private unsafe FileDescriptor? OpenLogPipe(RunningInstance instance, Birth birth, string stream)
    {
        int* ends = stackalloc int[2];
        if (Libc.pipe2(ends, Libc.O_CLOEXEC) != 0)
            return null;
        FileDescriptor readEnd = new(ends[0]), writeEnd = new(ends[1]);
        birth.Own(writeEnd);
        LetOthersWrite(writeEnd);
        if (stream != CommandStream)
            OnOpened?.Invoke(instance, stream, readEnd);
        pump.Add(SourceOf(instance, stream), readEnd);
        instance.IsKnownToPump = true;
        return writeEnd;
    }

    private Failure.SpawnFailed? GiveTerminal(RunningInstance instance, Birth birth, ResolvedUser user)
    {
        if (!PseudoTerminal.Open(user.Credentials?.Uid).TryGet(out PseudoTerminal terminal, out OpenFailure? failure))
            return Refuse(instance.Definition, "terminal", failure.Errno, failure.ToString());
        // The pump may close it while the birth is still under way.
        int slave = birth.Borrow(terminal.Slave);
        birth.Input(slave);
        birth.Output(slave);
        birth.Error(slave);
        birth.HasTerminal = true;
        OnOpened?.Invoke(instance, HeldParts.Terminal, terminal.Master);
        OnOpened?.Invoke(instance, HeldParts.TerminalSlave, terminal.Slave);
        pump.AddTerminal(SourceOf(instance, HeldParts.Output), terminal.Master, terminal.Slave);
        instance.IsKnownToPump = true;
        return null;
    }

    private static OutputSource SourceOf(RunningInstance instance, string stream)
    {
        ServiceDefinition service = instance.Definition;
        return new OutputSource
        {
            InstanceId = instance.Id.Number, Service = service.Name.Text, Slot = instance.Slot, Stream = stream,
            LongestLineBytes = service.LongestLineBytes, File = service.Log?.In(instance.Slot),
            FileOwner = service.Log is { } log ? instance.Provision.Users.OwnerOf(log) : LogFileOwner.Own,
        };
    }

    // A program that root starts, as whoever, and what it starts may become other users, and then open /dev/stderr anew. Nobody else comes
    // to the pipe: only who may look into a process finds the way to its descriptors (proc_pid_fd(5)).
    private static void LetOthersWrite(FileDescriptor pipe)
    {
        _ = Libc.geteuid() == 0 ? Libc.fchmod(pipe.Number, 0b110_010_010) : 0;
    }

    private unsafe Failure.SpawnFailed? OpenReadyPipe(RunningInstance instance, Birth birth, ServiceDefinition service)
    {
        if (service.Ready is not Readiness.Descriptor ready)
            return null;
        int* ends = stackalloc int[2];
        if (Libc.pipe2(ends, Libc.O_CLOEXEC | Libc.O_NONBLOCK) != 0)
            return Refuse(service, "ready", Errno.Last, $"ready: pipe: {Errno.Last.Text}");
        instance.ReadyPipe = new FileDescriptor(ends[0]);
        OnOpened?.Invoke(instance, HeldParts.ReadyPipe, instance.ReadyPipe);
        FileDescriptor writeEnd = new(ends[1]);
        birth.Own(writeEnd);
        birth.PassAt(ready.Number, writeEnd.Number);
        return null;
    }
}
