using System.Globalization;
using System.Text;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Paths;

namespace Launchd.Linux.Processes;

/// <summary>
/// The share of the processors that this process has against those that it starts. sched(7), "The autogroup feature": processes of one
/// session share the processors as if they were one, and each program that is started is a session of its own. So a hundred programs that
/// compute have a hundred shares, and all threads of the supervisor together have one.
/// </summary>
internal static unsafe class Autogroup
{
    /// <summary>As a nice value: about nine shares.</summary>
    public const int Nice = -10;

    private const string Place = "/proc/self/autogroup";

    /// <summary>
    /// Gives this session more. False: not allowed to (CAP_SYS_NICE), the kernel has no such groups, or other programs
    /// belong to the session, as those of a shell do.
    /// </summary>
    public static bool TryRaise()
    {
        if (Libc.getsid(0) != Libc.getpid())
            return false;
        using FileDescriptor? file = Files.Open(null, Place, Tmds.Linux.LibC.O_WRONLY | Libc.O_CLOEXEC, 0, out _);
        if (file is null)
            return false;
        byte[] text = Encoding.ASCII.GetBytes(Nice.ToString(CultureInfo.InvariantCulture));
        fixed (byte* start = text)
            return Libc.write(file.Number, start, (nuint)text.Length) == text.Length;
    }
}
