using Launchd.Client;
using Launchd.Interop;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Descriptors;

/// <summary>Open file descriptions, open(2): several descriptors, also of several processes, can mean the same one.</summary>
internal static class OpenDescription
{
    /// <summary>Whether two of our descriptors are the same open file description. False where the kernel does not tell.</summary>
    public static bool AreSame(FileDescriptor first, FileDescriptor second)
    {
        int answer = fcntl(first.Number, Libc.F_DUPFD_QUERY, second.Number);
        if (answer >= 0)
            return answer == 1;
        int self = Libc.getpid();
        return Libc.descriptor_call(Libc.SYS_kcmp, self, self, Libc.KCMP_FILE, first.Number, second.Number) == 0;
    }

    /// <summary>
    /// How kcmp(2) orders two of our descriptors by their open file descriptions: 0 the same, 1 the first comes before, 2
    /// behind. Anything else: the kernel does not tell.
    /// </summary>
    public static int Compare(FileDescriptor first, FileDescriptor second)
    {
        int self = Libc.getpid();
        return (int)Libc.descriptor_call(Libc.SYS_kcmp, self, self, Libc.KCMP_FILE, first.Number, second.Number);
    }
}
