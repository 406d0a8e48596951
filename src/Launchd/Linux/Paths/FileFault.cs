using System.ComponentModel;
using Launchd.Client;
using Launchd.Linux.Calls;

namespace Launchd.Linux.Paths;

/// <summary>
/// Why a call of the framework on files failed, in the words of the kernel. The framework's own texts are no sentences: in
/// the native binary they are the names of resources.
/// </summary>
internal static class FileFault
{
    /// <summary>Such as <c>Permission denied</c>, for the end of a sentence.</summary>
    public static string Text(Exception fault) => ErrnoOf(fault) is { } errno ? errno.Text : "for a reason that the system did not tell";

    /// <summary>The error number behind an exception; null: there is none.</summary>
    public static Errno? ErrnoOf(Exception fault) => fault switch
    {
        SystemCallException call => call.Errno,
        Win32Exception native => new Errno(native.NativeErrorCode),
        // The kernel's error is in the inner exception, where there is one.
        UnauthorizedAccessException => fault.InnerException is IOException { HResult: > 0 } refused
            ? new Errno(refused.HResult)
            : Errno.EACCES,
        FileNotFoundException or DirectoryNotFoundException => Errno.ENOENT,
        PathTooLongException => Errno.ENAMETOOLONG,
        // On Unix the framework puts the error number into HResult; its own numbers are negative.
        IOException { HResult: > 0 } io => new Errno(io.HResult),
        OutOfMemoryException => Errno.ENOMEM,
        _ => null,
    };
}
