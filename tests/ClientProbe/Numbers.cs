using System.Net.Sockets;
using System.Runtime.InteropServices;
using Launchd.Client;

[assembly: System.Runtime.CompilerServices.DisableRuntimeMarshalling]

namespace Launchd.ClientProbe;

/// <summary>Steps that need a process of their own, because they change all of it.</summary>
internal static partial class Numbers
{
    private const int RLIMIT_NOFILE = 7, PR_SET_DUMPABLE = 4;

    /// <summary>From now on nobody without privilege may look into this process.</summary>
    public static string Hide() => prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? "hidden" : "failed";

    /// <summary>
    /// Gets three descriptors where there is a number for one: told as truncated, and nothing is left open. The next message comes whole.
    /// </summary>
    public static async Task<string> ReceiveWithoutAny(Socket socket)
    {
        byte[] buffer = new byte[16];
        // The first message warms up all that opens something for itself.
        (await socket.ReceiveDescriptorsAsync(buffer)).Dispose();
        int before = Count();
        List<FileStream> fillers = [];
        if (!LimitTo(before + 8))
            return "setrlimit failed";
        try
        {
            while (true)
                fillers.Add(File.OpenRead("/dev/null"));
        }
        catch (IOException)
        {
            fillers[^1].Dispose();
            fillers.RemoveAt(fillers.Count - 1);
        }
        string outcome = "whole";
        try
        {
            using DescriptorMessage message = await socket.ReceiveDescriptorsAsync(buffer);
        }
        catch (LaunchdException refused)
        {
            outcome = refused.Error.ToString();
        }
        fillers.ForEach(f => f.Dispose());
        using DescriptorMessage next = await socket.ReceiveDescriptorsAsync(buffer);
        return $"{outcome}, then {next.Count}, left {Count() - before - next.Count}";
    }

    private static unsafe bool LimitTo(long count)
    {
        long* limit = stackalloc long[2] { count, count };
        return setrlimit(RLIMIT_NOFILE, limit) == 0;
    }

    // The directory that is read has one itself.
    private static int Count() => Directory.GetFileSystemEntries("/proc/self/fd").Length - 1;

    [LibraryImport("libc", SetLastError = true)]
    private static unsafe partial int setrlimit(int resource, long* limit);

    [LibraryImport("libc", SetLastError = true)]
    private static partial int prctl(int option, nint a, nint b, nint c, nint d);
}
