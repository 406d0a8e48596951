using System.Globalization;
using Launchd.Client.Interop;

namespace Launchd.Client;

/// <summary>
/// A process by its descriptor, which never means another process after this one is gone (pidfd_open(2)). Owns the descriptor. Needs no
/// supervisor.
/// </summary>
public sealed class PidFd : IDisposable
{
    /// <summary>
    /// Takes ownership of a descriptor that was received from somewhere; <see cref="NamedDescriptor.TakeProcess"/> checks it.
    /// </summary>
    /// <param name="descriptorTaken">A pidfd.</param>
    public PidFd(FileDescriptor descriptorTaken)
    {
        ArgumentNullException.ThrowIfNull(descriptorTaken);
        Descriptor = descriptorTaken;
    }

    /// <summary>The descriptor; borrow it, to send it for instance.</summary>
    public FileDescriptor Descriptor { get; }

    /// <summary>
    /// The number, for people and logs: by the time it is read, it may be another's. -1 once the process was reaped, 0 if it lives in
    /// a pid namespace that is not seen from here.
    /// </summary>
    public int Pid
    {
        get
        {
            using var borrowed = new Borrowed(Descriptor);
            foreach (string line in File.ReadLines($"/proc/self/fdinfo/{borrowed.Number}"))
            {
                if (line.StartsWith("Pid:", StringComparison.Ordinal))
                    return int.Parse(line.AsSpan("Pid:".Length), NumberStyles.AllowLeadingSign | NumberStyles.AllowLeadingWhite);
            }
            throw new LaunchdException(LaunchdError.WrongKind, $"descriptor {Descriptor} is no process");
        }
    }

    /// <summary>Opens a process by its number. Whether it is the one that is meant, only its parent can know.</summary>
    /// <param name="pid">A process, not a thread.</param>
    /// <exception cref="LaunchdException">No such process (ESRCH), or no descriptor left (EMFILE).</exception>
    public static PidFd Open(int pid)
    {
        nint number = ClientLibc.syscall(ClientLibc.SYS_pidfd_open, pid, 0, 0, 0);
        return number >= 0 ? new PidFd(new FileDescriptor((int)number)) : throw LaunchdException.Kernel("pidfd_open", Errno.Last);
    }

    /// <summary>
    /// Takes one of the process's descriptors: the same open file, close-on-exec here, owned by the caller. Needs the right to trace
    /// the process, ptrace(2): EPERM where user, capabilities, <c>PR_SET_DUMPABLE</c>, Yama or a seccomp filter forbid it.
    /// </summary>
    /// <param name="number">The number in that process. What it means there may change at any time.</param>
    /// <exception cref="LaunchdException">EPERM; EBADF, it has no such descriptor; ESRCH, it has ended; EMFILE.</exception>
    public FileDescriptor GetDescriptor(int number) => GetDescriptor(number, flags: 0);

    /// <summary>Sends a signal.</summary>
    /// <param name="signal">signal(7); 0 sends none and checks only.</param>
    /// <exception cref="LaunchdException">ESRCH, it was reaped; EPERM.</exception>
    public void Signal(int signal)
    {
        using var borrowed = new Borrowed(Descriptor);
        if (ClientLibc.syscall(ClientLibc.SYS_pidfd_send_signal, borrowed.Number, signal, 0, 0) != 0)
            throw LaunchdException.Kernel("pidfd_send_signal", Errno.Last);
    }

    /// <summary>Waits for the end of the process, whoever's child it is; it need not be reaped yet.</summary>
    /// <param name="cancellation">Ends the waiting, not the process.</param>
    public Task WaitForExitAsync(CancellationToken cancellation = default) => DescriptorPoller.Readable(Descriptor, cancellation);

    /// <summary>Closes the descriptor; nothing happens to the process.</summary>
    public void Dispose() => Descriptor.Dispose();

    internal FileDescriptor GetDescriptor(int number, int flags)
    {
        using var borrowed = new Borrowed(Descriptor);
        nint taken = ClientLibc.syscall(ClientLibc.SYS_pidfd_getfd, borrowed.Number, number, flags, 0);
        return taken >= 0 ? new FileDescriptor((int)taken) : throw LaunchdException.Kernel("pidfd_getfd", Errno.Last);
    }
}
