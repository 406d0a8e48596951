namespace Launchd.Config.Sources;

/// <summary>The file system as far as a configuration needs it. Nothing here throws: a refusal is a sentence.</summary>
internal interface IConfigFiles
{
    /// <summary>The first bytes of a file, at most <paramref name="mostBytes"/> of them.</summary>
    public ConfigFileContent Read(string absolutePath, int mostBytes);

    /// <summary>Existing files that match an absolute path whose parts may hold <c>*</c> and <c>?</c>, by ordinal order.</summary>
    public IReadOnlyList<string> List(string absolutePattern);

    /// <summary>Why somebody other than root and the supervisor's user could change this file, or null if nobody can.</summary>
    public string? FindDistrust(string absolutePath);
}

/// <summary>The result of reading: bytes, or a problem in the words of a message ("does not exist").</summary>
internal readonly record struct ConfigFileContent(byte[] Bytes, string? Problem)
{
    /// <summary>Nothing of this name is there.</summary>
    public static readonly ConfigFileContent Missing = Failed("does not exist");

    public bool IsMissing => Problem == Missing.Problem;

    public static ConfigFileContent Failed(string problem) => new([], problem);
}
