using System.Runtime.InteropServices;

namespace Launchd.Interop;

// rename(2)
internal static unsafe partial class Libc
{
    /// <summary>EEXIST where the new name is taken.</summary>
    public const uint RENAME_NOREPLACE = 1;

    /// <summary>Both names must exist and change places, in one moment.</summary>
    public const uint RENAME_EXCHANGE = 2;

    [LibraryImport("libc", SetLastError = true)]
    public static partial int renameat2(int olddirfd, byte* oldpath, int newdirfd, byte* newpath, uint flags);
}
