using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

[assembly: DisableRuntimeMarshalling]

namespace Launchd.Client.Interop;

/// <summary>What both ends import from libc beside Tmds.LibC: blittable signatures, kernel spelling.</summary>
internal static unsafe partial class ClientLibc
{
    [LibraryImport("libc", SetLastError = true)]
    public static partial int close(int fd);
}
