using System.Buffers.Text;
using System.Text;

namespace Launchd.Linux.Processes;

/// <summary>What the kernel says of any process at one moment (proc_pid_stat(5)); its state is one letter.</summary>
internal readonly record struct ProcessFacts(char State, int Parent, int Group, int Session)
{
    private const ulong PfExiting = 4;

    /// <summary>Threads that have not ended, the first one counted even if it has.</summary>
    public int ThreadCount { get; private init; }

    /// <summary>Ticks from the boot to its start: with the number it names one process for good.</summary>
    public ulong StartTime { get; private init; }

    /// <summary>The status as waitid(2) would tell it; 0 where this process may not know it.</summary>
    public int ExitCode { get; private init; }

    /// <summary>
    /// Its program was started with no environment at all. False where this process may not know it, and for a moment of execve(2), in
    /// which the environment cannot be read yet (env_start and env_end of proc_pid_stat(5)).
    /// </summary>
    public bool HasNoEnvironment { get; private init; }

    /// <summary>
    /// The first thread of the process is ending (PF_EXITING in the kernel's include/linux/sched.h), which may take long: it starts no
    /// process any more, but its children get another parent only when it has ended.
    /// </summary>
    public bool IsEnding { get; private init; }

    /// <summary>
    /// Whether the process has ended: a zombie, or dead altogether. A process of which only the first thread
    /// has ended looks like a zombie, but is none.
    /// </summary>
    public bool HasEnded => State == 'X' || (State == 'Z' && ThreadCount <= 1);

    /// <summary>Null: there is no such process, it may not be seen, or /proc is another namespace's.</summary>
    public static ProcessFacts? Read(int pid)
    {
        if (!ProcFile.IsOwn)
            return null;
        Span<byte> text = stackalloc byte[1024];
        using ProcFile file = ProcFile.Open($"/proc/{pid}/stat", out _);
        return Parse(text[..file.Read(text)]);
    }

    /// <summary>Reads the text of <c>/proc/PID/stat</c>; null: it is of another form.</summary>
    public static ProcessFacts? Parse(ReadOnlySpan<byte> text)
    {
        // The name in brackets is the program's own and may hold anything, brackets too.
        int end = text.LastIndexOf((byte)')');
        if (end < 0 || end + 2 >= text.Length)
            return null;
        char state = (char)text[end + 2];
        ReadOnlySpan<byte> rest = text[(end + 3)..];
        // Field 4 is the parent; the state, field 3, is no number.
        Span<ulong> fields = stackalloc ulong[53];
        for (int number = 4; number < fields.Length && rest.Length > 1; number++)
        {
            rest = rest[1..];
            int length = rest.IndexOf((byte)' ') is >= 0 and int at ? at : rest.Length;
            // Some fields may be -1; they are not used here.
            fields[number] = Utf8Parser.TryParse(rest[..length], out ulong value, out _) ? value : 0;
            rest = rest[length..];
        }
        return new ProcessFacts(state, Small(fields[4]), Small(fields[5]), Small(fields[6]))
        {
            ThreadCount = Small(fields[20]),
            StartTime = fields[22],
            ExitCode = Small(fields[52]),
            IsEnding = (fields[9] & PfExiting) != 0,
            HasNoEnvironment = fields[50] != 0 && fields[50] == fields[51],
        };

        static int Small(ulong number) => (int)Math.Min(number, int.MaxValue);
    }

    /// <summary>The program's name for people, cut to 15 bytes by the kernel; "?" where it cannot be read.</summary>
    public static string NameOf(int pid)
    {
        Span<byte> text = stackalloc byte[64];
        using ProcFile file = ProcFile.Open($"/proc/{pid}/comm", out _);
        string name = Encoding.UTF8.GetString(text[..file.Read(text)]).TrimEnd('\n');
        return name.Length == 0 ? "?" : string.Concat(name.Select(c => char.IsControl(c) || c == '\uFFFD' ? '?' : c));
    }

    /// <summary>A number of <c>/proc/PID/status</c>, such as <c>TracerPid</c>. Null: there is none.</summary>
    public static ulong? Status(int pid, string name, bool isHexadecimal = false)
    {
        Span<byte> text = stackalloc byte[8192];
        using ProcFile file = ProcFile.Open($"/proc/{pid}/status", out _);
        text = text[..file.Read(text)];
        int at = text.IndexOf(Encoding.UTF8.GetBytes($"\n{name}:\t"));
        return at >= 0 && Utf8Parser.TryParse(text[(at + name.Length + 3)..], out ulong value, out _, isHexadecimal ? 'x' : 'G')
            ? value
            : null;
    }
}
