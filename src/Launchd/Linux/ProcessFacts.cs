using System.Globalization;

namespace Launchd.Linux;

/// <summary>What the kernel says of any process at one moment (proc_pid_stat(5)); its state is one letter.</summary>
internal readonly record struct ProcessFacts(char State, int Parent, int Group, int Session)
{
    /// <summary>It has ended: a zombie, or dead altogether.</summary>
    public bool HasEnded => State is 'Z' or 'X';

    /// <summary>Null: there is no such process, or it may not be seen.</summary>
    public static ProcessFacts? Read(int pid)
    {
        if (Files.ReadText($"/proc/{pid}/stat", 4096) is not { } text)
            return null;
        // The name in brackets is the program's own and may hold anything, brackets too.
        string[] fields = text[(text.LastIndexOf(')') + 1)..].Split(' ', 6, StringSplitOptions.RemoveEmptyEntries);
        return fields.Length >= 4 && fields[0].Length == 1 && Number(fields[1], out int parent) && Number(fields[2], out int group)
            && Number(fields[3], out int session)
            ? new ProcessFacts(fields[0][0], parent, group, session)
            : null;
    }

    private static bool Number(string text, out int number) => int.TryParse(text, NumberStyles.Integer, CultureInfo.InvariantCulture, out number);
}
