using System.Buffers.Text;
using System.Globalization;
using System.Text;
using Launchd.Client;
using Launchd.Host.Instances;
using Launchd.Interop;
using Launchd.Linux.Paths;

namespace Launchd.Host.Listeners;

/// <summary>What the lock of a runtime directory says: whose the directory is. Pid 0: nobody's, or it cannot be read.</summary>
/// <param name="Supervisor">The process that has taken it last.</param>
/// <param name="Keeper">Its keeper, which has the lock as well; 0: there is none.</param>
internal readonly record struct LockOwner(int Supervisor, int Keeper)
{
    private const int MostBytes = 64;

    /// <summary>
    /// What the supervisor's processes have in their environment (<see cref="InstanceMark"/>); null: it does not stand there.
    /// </summary>
    public string? Mark { get; init; }

    /// <summary>Reads the lock of a directory.</summary>
    /// <param name="directory">Of the supervisor.</param>
    public static LockOwner Of(string directory)
    {
        using FileDescriptor? file = Files.OpenToRead(RuntimeDirectory.LockOf(directory), out _);
        return file is null ? default : Read(file);
    }

    /// <summary>Reads an open lock from its beginning.</summary>
    public static LockOwner Read(FileDescriptor file) => Parse(Files.ReadBytes(file, MostBytes, out _));

    /// <summary>Understands a text of one to three lines.</summary>
    public static LockOwner Parse(ReadOnlySpan<byte> text)
    {
        if (!Utf8Parser.TryParse(text, out int supervisor, out int length) || supervisor < 0)
            return default;
        ReadOnlySpan<byte> rest = text[Math.Min(text.Length, length + 1)..];
        string[] lines = Encoding.UTF8.GetString(rest).Split('\n');
        return new LockOwner(supervisor, Utf8Parser.TryParse(rest, out int keeper, out _) && keeper > 0 ? keeper : 0)
        {
            Mark = lines.Length > 1 && InstanceMark.IsSound(lines[1]) ? lines[1] : null,
        };
    }

    /// <summary>As it stands in the file.</summary>
    public byte[] Text => Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{Supervisor}\n{Keeper}\n{Mark}\n"));

    /// <summary>There is no supervisor, but its keeper, which holds what it had.</summary>
    public bool IsForsaken => Keeper > 0 && Supervisor > 0 && !IsAlive(Supervisor) && IsAlive(Keeper);

    /// <summary>Neither lives, and a copy of one of them has the lock.</summary>
    public bool IsDead => Supervisor > 0 && !IsAlive(Supervisor) && (Keeper == 0 || !IsAlive(Keeper));

    /// <summary>What that means and what can be done, for people.</summary>
    public string Remedy =>
        $"the supervisor has died, and its keeper (pid {Keeper}) holds its services and sockets: if it starts no other by itself, "
        + $"'kill -HUP {Keeper}' has it try once more, and 'kill -TERM {Keeper}' ends all";

    // EPERM: it is there, and another user's.
    private static bool IsAlive(int pid) => Libc.kill(pid, 0) == 0 || Errno.Last == Errno.EPERM;
}
