using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;

namespace Launchd.Host.Instances;

/// <summary>
/// The secret in the environment of every process of an instance, by which the supervisor recognises an orphan that has left its parents,
/// its session and its group. Random, so that no other user's program can make itself a part of somebody else's instance.
/// </summary>
internal static unsafe class InstanceMark
{
    /// <summary>
    /// The variable's value is the instance's mark and its supervisor's, 32 hexadecimal digits each, with a colon between them; if this
    /// supervisor itself runs in an instance of another, a colon and what that was given follow.
    /// </summary>
    public const string VariableName = "LAUNCHD_MARK";

    /// <summary>The instance's number, for people and programs; nothing is believed because of it.</summary>
    public const string NumberName = "LAUNCHD_INSTANCE";

    private const int Bytes = 16, PoolBytes = 256 * Bytes;

    /// <summary>The longest list of marks, of supervisors one within the other, that is handed on.</summary>
    private const int MostInheritedLength = 1024;

    private static readonly byte[] Pool = new byte[PoolBytes];
    private static readonly string Inherited = ReadInherited();
    private static int _used = PoolBytes;

    /// <summary>
    /// A mark that no other instance, or supervisor, has and no process can guess. To be called on the loop alone, or before it runs.
    /// </summary>
    public static string New()
    {
        if (_used == PoolBytes)
        {
            fixed (byte* start = Pool)
            {
                for (int filled = 0; filled < PoolBytes;)
                {
                    // getrandom(2): 256 bytes at a time come whole, whatever signal comes.
                    nint got = Libc.syscall(SystemCallNumbers.getrandom, (nint)(start + filled), 256, 0, 0, 0, 0);
                    filled += got > 0 ? (int)got : throw new SystemCallException("getrandom", "an instance's mark", Errno.Last);
                }
            }
            _used = 0;
        }
        string mark = Convert.ToHexStringLower(Pool.AsSpan(_used, Bytes));
        _used += Bytes;
        return mark;
    }

    /// <summary>The mark as an entry of the environment.</summary>
    /// <param name="mark">Of the instance.</param>
    /// <param name="supervisor">Of its supervisor, by which another one finds its processes if it was killed.</param>
    public static string Variable(string mark, string supervisor) => $"{VariableName}={mark}:{supervisor}{Inherited}";

    /// <summary>Whether a text can be a mark.</summary>
    public static bool IsSound(string text) => text.Length == 2 * Bytes && text.All(char.IsAsciiHexDigit);

    // The orphans of a supervisor that ended become children of the supervisor above it, which finds its own mark among theirs.
    private static string ReadInherited()
    {
        string inherited = Environment.GetEnvironmentVariable(VariableName) ?? "";
        bool isSound = inherited.Length is > 0 and <= MostInheritedLength && inherited.All(c => char.IsAsciiHexDigit(c) || c == ':');
        return isSound ? ':' + inherited : "";
    }
}
