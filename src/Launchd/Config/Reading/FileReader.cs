using Launchd.Addresses;
using Launchd.Config.Diagnostics;
using Launchd.Config.Tables;
using Launchd.Config.Toml;
using Launchd.Model;
using FileAccess = Launchd.Model.FileAccess;

namespace Launchd.Config.Reading;

/// <summary>A file with its table. Without a definition the table is wrong, but the name exists.</summary>
internal sealed record FileEntry(string Key, FileDefinition? Definition, TableReader Table);

/// <summary>Reads one <c>[files.NAME]</c>.</summary>
internal static class FileReader
{
    private const string Kinds = "exactly one of path, directory, memory and connect says what it is";

    private static readonly string[] OwnerKeys = ["user", "group"];

    // Which keys go with which of the four kinds.
    private static readonly (string Kind, string[] Keys)[] KindKeys =
    [
        ("path", ["open", "create", "truncate", "user", "group", "reopen"]), ("directory", []), ("memory", ["seal"]), ("connect", []),
    ];

    /// <summary>The definition, or null after an error that leaves nothing to define.</summary>
    public static FileDefinition? Read(TableReader table)
    {
        string[] kinds = [.. KindKeys.Select(k => k.Kind).Where(table.Has)];
        if (kinds.Length == 0)
        {
            table.ErrorHere(DiagnosticCode.KeyMissing, Kinds, "write path = \"/var/log/app.log\", for instance");
            foreach (TomlEntry entry in table.Entries.Where(e => KnownKeys.File.Contains(e.Key)))
                entry.IsTaken = true;
            table.ReportUnknown(KnownKeys.File);
            return null;
        }
        if (kinds.Length > 1)
            table.Error(DiagnosticCode.Contradiction, kinds[1], $"{Kinds}, but '{kinds[0]}' is there too");
        FileDefinition? file = kinds[0] switch
        {
            "path" => ReadOpened(table),
            "directory" => table.FullPath("directory", null) is { } path
                ? new FileDefinition.Directory { Key = table.Name, DirectoryPath = path }
                : null,
            "memory" => ReadMemory(table),
            _ => ReadConnected(table),
        };
        foreach ((string kind, string[] keys) in KindKeys.Where(k => k.Kind != kinds[0]))
        {
            table.Take(kind);
            foreach (string key in keys.Where(key => table.Take(key) is not null))
                table.Error(DiagnosticCode.NoEffect, key, $"has no effect with '{kinds[0]}', only with '{kind}'");
        }
        table.ReportUnknown(KnownKeys.File);
        return file;
    }

    private static FileDefinition.Opened? ReadOpened(TableReader table)
    {
        FileDefinition.Opened file = new()
        {
            Key = table.Name,
            FilePath = table.FullPath("path", null) ?? "",
            Access = table.Choice(
                "open", FileAccess.Read, ("read", FileAccess.Read), ("write", FileAccess.Write), ("append", FileAccess.Append),
                ("read-write", FileAccess.ReadWrite)),
            CreateMode = table.ModeOrNull("create"),
            Truncate = table.Bool("truncate", false),
            User = table.String("user", null),
            Group = table.String("group", null),
            Reopen = table.Bool("reopen", false),
        };
        if (file is { Truncate: true, Access: FileAccess.Read })
        {
            table.Error(
                DiagnosticCode.Contradiction, "truncate", "a file that is opened for reading is not emptied", "set open = \"write\"");
        }
        if (file.CreateMode is null && !table.Has("create"))
        {
            foreach (string key in OwnerKeys.Where(table.Has))
                table.Error(DiagnosticCode.NoEffect, key, "has no effect without 'create': it is for a file that is made");
        }
        if (file.User is { } user && !UserRule.MayUse(table.Context.Source, user))
            table.Error(DiagnosticCode.NeedsRoot, "user", $"only root can give the file to user '{user}'", UserRule.Hint);
        return file.FilePath.Length > 0 ? file : null;
    }

    private static FileDefinition.Memory? ReadMemory(TableReader table)
    {
        long? size = table.Size("memory", null, 1, 1L << 46);
        HashSet<string> seals = new(StringComparer.Ordinal);
        foreach (TomlValue item in table.Elements("seal"))
        {
            if (table.TextOf("seal", item) is not { } seal)
                continue;
            if (seal is not ("shrink" or "grow" or "write"))
                table.Error(DiagnosticCode.UnknownChoice, "seal", item, $"'{seal}' is not one of shrink, grow, write");
            else if (!seals.Add(seal))
                table.Error(DiagnosticCode.RepeatedEntry, "seal", item, $"'{seal}' stands there twice");
        }
        if (size is not { } bytes)
            return null;
        return new FileDefinition.Memory
        {
            Key = table.Name, SizeBytes = bytes, SealShrink = seals.Contains("shrink"),
            SealGrow = seals.Contains("grow"), SealWrite = seals.Contains("write"),
        };
    }

    private static FileDefinition.Connected? ReadConnected(TableReader table)
    {
        if (table.Take("connect") is not { } value || ListenerReader.ReadAddress(table, "connect", value) is not { } target)
            return null;
        string? problem = target switch
        {
            ListenAddress.Tcp { DualStack: true } or ListenAddress.Udp { DualStack: true } or ListenAddress.Vsock { Cid: null } =>
                "'*' is no address to connect to",
            ListenAddress.Tcp { Port: 0 } or ListenAddress.Udp { Port: 0 } => "port 0 is no port to connect to",
            ListenAddress.Tcp or ListenAddress.Udp or ListenAddress.Unix or ListenAddress.Vsock => null,
            _ => "only tcp://, udp://, unix:, unix-dgram:, unix-seqpacket: and vsock:// can be connected to",
        };
        if (problem is null)
            return new FileDefinition.Connected { Key = table.Name, Target = target };
        table.Error(DiagnosticCode.BadAddress, "connect", problem);
        return null;
    }
}
