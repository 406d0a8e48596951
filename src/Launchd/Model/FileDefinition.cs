using Launchd.Addresses;

namespace Launchd.Model;

/// <summary>One <c>[files.NAME]</c> table: a descriptor opened before the services that get it. A closed family.</summary>
internal abstract record FileDefinition
{
    private FileDefinition()
    {
    }

    /// <summary>The table's key, also its name in <c>LISTEN_FDNAMES</c>.</summary>
    public required string Key { get; init; }

    /// <summary>A regular file, device or FIFO by absolute path.</summary>
    internal sealed record Opened : FileDefinition
    {
        public required string FilePath { get; init; }
        public FileAccess Access { get; init; } = FileAccess.Read;

        /// <summary>Permission bits of a file that has to be made; null: it must exist.</summary>
        public int? CreateMode { get; init; }
        public bool Truncate { get; init; }
        public string? User { get; init; }
        public string? Group { get; init; }

        /// <summary>True: opened anew for each instance; false: one open file description for all.</summary>
        public bool Reopen { get; init; }
    }

    /// <summary>A directory, as <c>O_PATH</c>: a place to open files below, not to read from.</summary>
    internal sealed record Directory : FileDefinition
    {
        public required string DirectoryPath { get; init; }
    }

    /// <summary>Anonymous memory (memfd) of a fixed size that all holders share.</summary>
    internal sealed record Memory : FileDefinition
    {
        public required long SizeBytes { get; init; }
        public bool SealShrink { get; init; }
        public bool SealGrow { get; init; }
        public bool SealWrite { get; init; }
    }

    /// <summary>A connection made when an instance starts, one for each.</summary>
    internal sealed record Connected : FileDefinition
    {
        public required ListenAddress Target { get; init; }
    }
}

/// <summary>How a file is opened. <c>Append</c> writes at the end only.</summary>
internal enum FileAccess { Read, Write, Append, ReadWrite }
