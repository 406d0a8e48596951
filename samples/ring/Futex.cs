using System.Runtime.InteropServices;

[assembly: System.Runtime.CompilerServices.DisableRuntimeMarshalling]

namespace Launchd.Samples.Ring;

/// <summary>Sleeping and waking on a word of memory that several processes map, futex(2).</summary>
internal static unsafe partial class Futex
{
    private const int FUTEX_WAIT = 0, FUTEX_WAKE = 1;
    private static readonly nint SYS_futex = RuntimeInformation.ProcessArchitecture == Architecture.X64 ? 202 : 98;

    /// <summary>Sleeps if the word still is what it was; returns when woken, or at once. The caller looks again in any case.</summary>
    public static void Wait(int* word, int expected) => _ = syscall(SYS_futex, word, FUTEX_WAIT, expected, null);

    /// <summary>Wakes one sleeper.</summary>
    public static void Wake(int* word) => _ = syscall(SYS_futex, word, FUTEX_WAKE, 1, null);

    [LibraryImport("libc")]
    private static partial nint syscall(nint number, int* word, nint operation, nint value, void* timeout);
}
