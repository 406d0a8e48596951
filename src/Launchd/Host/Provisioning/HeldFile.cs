using Launchd.Client;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using Launchd.Model;

namespace Launchd.Host.Provisioning;

/// <summary>One <c>[files.NAME]</c>. <paramref name="Descriptor"/> is null where each instance opens its own.</summary>
internal sealed record HeldFile(FileDefinition Definition, FileDescriptor? Descriptor)
{
    /// <summary>Opens a file that is not a connection.</summary>
    /// <param name="file">As configured.</param>
    /// <param name="users">Of the same configuration.</param>
    /// <param name="user">The user with whose rights it is opened, as in <see cref="FileRequest.User"/>.</param>
    public static OpenResult<FileDescriptor> Open(FileDefinition file, UserTable users, Credentials? user) => file switch
    {
        FileDefinition.Opened opened => FileOpener.Open(
            ModelMapper.ToRequest(opened, users.OwnerOf($"files.{file.Key}", opened.User, opened.Group)) with { User = user }),
        FileDefinition.Directory directory => FileOpener.OpenDirectory(directory.DirectoryPath, user),
        FileDefinition.Memory memory => FileOpener.OpenMemory(memory.Key, memory.SizeBytes, ModelMapper.SealsOf(memory)),
        _ => throw new System.Diagnostics.UnreachableException(),
    };
}
