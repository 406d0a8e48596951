using System.Diagnostics;

namespace Launchd.AcceptanceTests.Support;

/// <summary>A copy of a program, in a folder that every user may enter, as long as this process lives.</summary>
/// <remarks>
/// Another process makes the copy: a child of a test beside this one could have a descriptor of ours until its own execve(2), and what
/// somebody has open for writing is not executed (ETXTBSY). It also removes the copy, when its input ends: whoever runs the tests may kill
/// this process a moment after the last one.
/// </remarks>
internal sealed class EntrableCopy
{
    private const string CopyAndRemove = """
        trap '' HUP INT TERM
        cp -R "$1" "$2" && chmod -R a+rX "$2" && echo copied && cat
        rm -r "$2"
        """;

    // Kept, because its input ends with it.
    private readonly Process _owner;

    /// <param name="original">Path of a native program, or of an assembly, which is copied with all that lies beside it.</param>
    public EntrableCopy(string original)
    {
        string folder = Directory.CreateTempSubdirectory("lcs-").FullName;
        string source = original.EndsWith(".dll", StringComparison.Ordinal) ? Path.GetDirectoryName(original) + "/." : original;
        ProcessStartInfo start = new("/bin/sh", ["-c", CopyAndRemove, "sh", source, folder])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true,
        };
        _owner = Process.Start(start)!;
        if (_owner.StandardOutput.ReadLine() != "copied")
            throw new InvalidOperationException($"{source} cannot be copied to {folder}");
        Program = Path.Combine(folder, Path.GetFileName(original));
    }

    /// <summary>Its path.</summary>
    public string Program { get; }
}
