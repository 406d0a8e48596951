using Launchd.Client;
using Launchd.Linux.Paths;
using Launchd.Linux.Spawning;

namespace Launchd.Host.Provisioning;

/// <summary>
/// Says in words why a program was not executed, or would not be, and what to do: to the kernel's error belong half a dozen causes, of
/// which people look for the wrong one.
/// </summary>
internal static class ProgramFault
{
    private static readonly string[] ShellWords = ["&&", "||", "|", ";", ">", ">>", "<", "2>&1", "&"];

    /// <summary>What <c>exec</c> failed with: the kernel's words, and in parentheses the cause.</summary>
    public static string Explain(SpawnRequest request, Errno errno)
    {
        string program = request.Arguments[0];
        string? why = errno == Errno.E2BIG ? ArgumentSpace.Explain(request)
            : errno == Errno.ETXTBSY ? "a process has it open for writing: write a new one beside it and rename that, as 'mv' does"
            : Cause(program, request.Candidates, request.WorkingDirectory, request.Credentials, errno);
        return why is { Length: > 0 } ? $"{errno.Text} ({why})" : errno.Text;
    }

    /// <summary>Looks for a program before it is started. Null: it is there, and nothing speaks against it.</summary>
    /// <param name="program">As it stands in the command, a path made absolute.</param>
    /// <param name="candidates">From <see cref="ProgramSearch"/>.</param>
    /// <param name="directory">The working directory.</param>
    /// <param name="user">Who executes it; null: this process.</param>
    public static string? Find(string program, IReadOnlyList<string> candidates, string directory, Credentials? user)
    {
        Errno errno = Errno.ENOENT;
        bool isAnyThere = false;
        foreach (string candidate in candidates)
        {
            string path = Path.Combine(directory, candidate);
            if (ProgramFile.FaultOf(path, user, wasRefused: false) is not { } fault)
                return null;
            // Of several directories in which it is looked for, those that do not have it say nothing.
            bool isThere = FileStatus.ReadFollow(path, out _) == Errno.None;
            if (!isAnyThere && (isThere || candidates.Count == 1))
                errno = fault.Errno;
            isAnyThere |= isThere;
        }
        string? why = Cause(program, candidates, directory, user, errno, wasRefused: false);
        return why is { Length: > 0 } ? $"{errno.Text} ({why})" : errno.Text;
    }

    private static string? Cause(string program, IReadOnlyList<string> candidates, string directory, Credentials? user, Errno errno,
        bool wasRefused = true)
    {
        string? other = null;
        foreach (string candidate in candidates)
        {
            string path = Path.Combine(directory, candidate);
            bool isThere = FileStatus.ReadFollow(path, out _) == Errno.None;
            if (ProgramFile.FaultOf(path, user, wasRefused) is not { } fault)
                continue;
            // Of the files of a name in several directories the one that the kernel's error is about.
            if (isThere && fault.Errno == errno)
                return candidates.Count > 1 ? $"{path}: {fault.Text}" : fault.Text;
            if (!isThere && candidates.Count == 1)
                other = fault.Text;
        }
        return errno == Errno.ENOENT || errno == Errno.ENOTDIR ? WhyMissing(program, candidates, directory, other) : other;
    }

    private static string? WhyMissing(string program, IReadOnlyList<string> candidates, string directory, string? other)
    {
        string[] words = program.Split([' ', '\t', '\n'], StringSplitOptions.RemoveEmptyEntries);
        if (words.Length > 1 && (words.Any(IsOfShell) || Path.GetFileName(words[0]) is "cd" or "exec" or "export" or "source" or "."))
            return "it is a command line for a shell, and none takes it apart: write [\"sh\", \"-c\", \"…\"]";
        if (words.Length > 1)
        {
            string form = string.Join(", ", words.Take(4).Select(w => $"\"{w}\"")) + (words.Length > 4 ? ", …" : "");
            return $"no shell takes a command apart: the program and each argument are a string of their own, [{form}]";
        }
        if (program.Split('/').FirstOrDefault(p => p.StartsWith('~')) is { } tilde)
        {
            return tilde == "~" ? "~ is not expanded, which only shells do: write the full path, or ${HOME}/…"
                : $"{tilde} is not expanded, which only shells do: write the full path";
        }
        if (program.Contains('$'))
            return "$ is not expanded, which only shells do: write ${NAME} for a variable of the supervisor's";
        if (!program.Contains('/'))
        {
            string here = Path.Combine(directory, program);
            string hint = FileStatus.ReadFollow(here, out FileStatus status) == Errno.None && status.Kind == FileKind.Regular
                ? $"; there is one in the working directory, where programs are not looked for: write {here}" : "";
            return candidates.Count == 0 ? $"PATH names no directory{hint}"
                : $"it is in no directory of PATH, {string.Join(':', candidates.Select(Path.GetDirectoryName))}{hint}";
        }
        // A relative path in a file is meant from the directory of the file, whatever the working directory is.
        string there = Path.Combine(directory, Path.GetFileName(program));
        if (there != program && FileStatus.ReadFollow(there, out FileStatus found) == Errno.None && found.Kind == FileKind.Regular)
            return $"there is {there} in the working directory, but paths in a file start at the directory of the file";
        return other;
    }

    private static bool IsOfShell(string word) =>
        ShellWords.Contains(word) || word.EndsWith(';') || word.StartsWith("$(", StringComparison.Ordinal);
}
