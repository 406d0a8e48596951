using System.Collections.Immutable;
using Launchd.Client;
using Launchd.Control;
using Launchd.Linux;
using Launchd.Model;

namespace Launchd.Host;

/// <summary>The listeners and files of the configuration, opened at start and held until the end. Owns them all.</summary>
internal sealed class DescriptorTable : IDisposable
{
    private readonly Dictionary<string, (ListenerDefinition Definition, OpenedListeners Opened)> _listeners = [];
    private readonly Dictionary<string, (FileDefinition Definition, FileDescriptor? Descriptor)> _files = [];

    public IEnumerable<(ListenerDefinition Definition, ImmutableArray<OpenedListener> Opened)> Listeners =>
        _listeners.Values.Select(l => (l.Definition, l.Opened.Listeners));

    public IEnumerable<(FileDefinition Definition, FileDescriptor? Descriptor)> Files => _files.Values;

    /// <summary>Opens everything. On a refusal what was opened is closed again, and nothing is left on disk.</summary>
    public static DescriptorTable Open(SupervisorDefinition definition, UserTable users)
    {
        DescriptorTable table = new();
        try
        {
            foreach (ListenerDefinition listener in definition.Listeners)
                table.OpenListener(listener, IsAcceptedFrom(definition, listener), users);
            foreach (FileDefinition file in definition.Files)
                table._files.Add(file.Key, (file, IsSharedFile(file) ? OpenFile(file, users).ValueOr(f => throw Refuse($"files.{file.Key}", f)) : null));
            return table;
        }
        catch
        {
            table.Dispose();
            throw;
        }
    }

    public (ListenerDefinition Definition, ImmutableArray<OpenedListener> Opened) this[string key] => (_listeners[key].Definition,
        _listeners[key].Opened.Listeners);

    /// <summary>The listeners of a service that one of its slots gets, in order: all endpoints, of each its shard.</summary>
    public IEnumerable<(ListenerDefinition Definition, OpenedListener Listener)> Of(ServiceDefinition service, int slot)
    {
        foreach (string key in service.Sockets)
        {
            (ListenerDefinition definition, OpenedListeners opened) = _listeners[key];
            foreach (OpenedListener listener in opened.Listeners)
            {
                if (definition.ShardCount == 0 || listener.ShardIndex == slot % definition.ShardCount)
                    yield return (definition, listener);
            }
        }
    }

    /// <summary>A service's file: the shared one, or one opened for this instance, which the caller then owns.</summary>
    public OpenResult<FileDescriptor> FileFor(string key, UserTable users, out bool isOwned)
    {
        (FileDefinition definition, FileDescriptor? shared) = _files[key];
        isOwned = shared is null;
        return shared is null ? OpenFile(definition, users) : shared;
    }

    public void Dispose()
    {
        foreach ((ListenerDefinition definition, OpenedListeners opened) in _listeners.Values)
        {
            if (definition.RemoveOnStop)
            {
                opened.Undo();
                continue;
            }
            foreach (OpenedListener listener in opened.Listeners)
                listener.Descriptor.Dispose();
        }
        foreach ((_, FileDescriptor? descriptor) in _files.Values)
            descriptor?.Dispose();
        _listeners.Clear();
        _files.Clear();
    }

    private void OpenListener(ListenerDefinition listener, bool isAcceptedFrom, UserTable users)
    {
        ListenerRequest request = ModelMapper.ToRequest(listener, isAcceptedFrom, users.OwnerOf($"sockets.{listener.Key}", listener.User, listener.Group));
        OpenResult<OpenedListeners> opened = ListenerOpener.Open(request);
        if (!opened.TryGet(out OpenedListeners? listeners, out OpenFailure? failure))
            throw Refuse($"sockets.{listener.Key}", failure);
        _listeners.Add(listener.Key, (listener, listeners));
    }

    // Where the supervisor itself accepts, a client that left between the wake-up and the call must not make it wait.
    private static bool IsAcceptedFrom(SupervisorDefinition definition, ListenerDefinition listener) =>
        definition.Services.Any(s => s.Start == StartKind.Connection && s.Sockets.Contains(listener.Key));

    private static bool IsSharedFile(FileDefinition file) => file is not (FileDefinition.Connected or FileDefinition.Opened { Reopen: true });

    private static OpenResult<FileDescriptor> OpenFile(FileDefinition file, UserTable users) => file switch
    {
        FileDefinition.Opened opened => FileOpener.Open(ModelMapper.ToRequest(opened, users.OwnerOf($"files.{file.Key}", opened.User, opened.Group))),
        FileDefinition.Directory directory => FileOpener.OpenDirectory(directory.DirectoryPath),
        FileDefinition.Memory memory => FileOpener.OpenMemory(memory.Key, memory.SizeBytes, ModelMapper.SealsOf(memory)),
        FileDefinition.Connected connected => Connector.Connect(ModelMapper.ToEndpoint(connected.Target), TimeSpan.FromSeconds(5)),
        _ => throw new System.Diagnostics.UnreachableException(),
    };

    private static StartRefusedException Refuse(string what, OpenFailure failure) =>
        new($"{what}: cannot open {failure}", failure.Errno == Errno.EACCES || failure.Errno == Errno.EPERM ? ExitCode.NotPermitted : ExitCode.SystemRefused);
}
