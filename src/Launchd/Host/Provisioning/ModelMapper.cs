using Launchd.Linux.Listening;
using Launchd.Linux.Paths;
using Launchd.Model;

namespace Launchd.Host.Provisioning;

/// <summary>Translates definitions into the requests of the Linux layer, which does not know the model.</summary>
internal static class ModelMapper
{
    public static ListenerRequest ToRequest(ListenerDefinition listener, bool isAcceptedFrom, PathOwner owner) => new()
    {
        Endpoints = listener.Addresses,
        BacklogCount = listener.BacklogCount,
        Mode = listener.Mode,
        Owner = owner,
        DirectoryMode = listener.DirectoryMode,
        Aliases = listener.Symlinks,
        ShardCount = listener.ShardCount,
        Options = listener.Options with { NonBlocking = listener.Options.NonBlocking || isAcceptedFrom },
    };

    public static FileRequest ToRequest(FileDefinition.Opened file, PathOwner owner) => new()
    {
        Path = file.FilePath,
        Access = file.Access switch
        {
            Model.FileAccess.Read => OpenAccess.Read,
            Model.FileAccess.Write => OpenAccess.Write,
            Model.FileAccess.Append => OpenAccess.Append,
            _ => OpenAccess.ReadWrite,
        },
        CreateMode = file.CreateMode,
        Truncate = file.Truncate,
        Owner = owner,
    };

    public static MemorySeals SealsOf(FileDefinition.Memory memory) =>
        (memory.SealShrink ? MemorySeals.Shrink : 0)
        | (memory.SealGrow ? MemorySeals.Grow : 0)
        | (memory.SealWrite ? MemorySeals.Write : 0);
}
