using System.IO.MemoryMappedFiles;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Launchd.Client.Interop;
using Microsoft.Win32.SafeHandles;

namespace Launchd.Client;

/// <summary>
/// A descriptor that came from outside, with its name: inherited, asked for, or handed over. Owns the descriptor until the
/// program takes it as a socket, a file and so on, which is allowed only if the kernel says that it is one. Taking is safe from
/// several threads: one gets it, the others get an exception.
/// </summary>
public sealed class NamedDescriptor : IDisposable
{
    private FileDescriptor? _descriptor;

    internal NamedDescriptor(string name, FileDescriptor descriptorTaken, string? address = null, string? way = null)
    {
        Name = name;
        Address = address;
        Way = way;
        _descriptor = descriptorTaken;
        Errno refused = DescriptorQuery.Read(descriptorTaken.Number, out DescriptorKind kind);
        Kind = refused == Errno.None ? kind : DescriptorKind.Other;
    }

    /// <summary>Its name in the configuration or in the fd store; empty and repeated names are possible under systemd.</summary>
    public string Name { get; }

    /// <summary>What the kernel says it is.</summary>
    public DescriptorKind Kind { get; }

    /// <summary>Where a listener listens or a file lies, as the supervisor writes it; null if it did not say.</summary>
    public string? Address { get; }

    /// <summary>How a sibling's descriptor was got: <c>duplicate</c>, <c>direct</c>, <c>reopen</c> and so on; null for others.</summary>
    public string? Way { get; }

    /// <summary>Whether somebody took it, or it was disposed.</summary>
    public bool IsTaken => Volatile.Read(ref _descriptor) is null;

    /// <summary>Borrows it; it stays owned by this object.</summary>
    /// <exception cref="ObjectDisposedException">It was taken.</exception>
    public FileDescriptor Descriptor => Volatile.Read(ref _descriptor) ?? throw Gone();

    /// <summary>Gives it away as it is: the caller owns it.</summary>
    /// <exception cref="ObjectDisposedException">It was taken before.</exception>
    public FileDescriptor Take() => Interlocked.Exchange(ref _descriptor, null) ?? throw Gone();

    /// <summary>
    /// Gives a socket away: the caller owns it. A listening one is switched to O_NONBLOCK, which all its holders see and
    /// which .NET's asynchronous calls would do as well: without it, disposing the <see cref="Socket"/> during a
    /// synchronous <see cref="Socket.Accept()"/> would end the listener for all of them. On a listener that has O_NONBLOCK
    /// already the synchronous calls wait in .NET as well.
    /// </summary>
    /// <exception cref="LaunchdException">It is no socket (<see cref="LaunchdError.WrongKind"/>).</exception>
    /// <exception cref="ObjectDisposedException">It was taken before.</exception>
    public Socket TakeSocket()
    {
        Expect("a socket", DescriptorKind.Socket, DescriptorKind.Listener);
        var socket = new Socket(new SafeSocketHandle(Take().ReleaseNumber(), ownsHandle: true));
        // If the descriptor is non-blocking, .NET believes that an asynchronous call is under way and refuses synchronous ones.
        if (Kind == DescriptorKind.Listener || !IsBlocking(socket.SafeHandle))
            SharedListener.Protect(socket);
        return socket;
    }

    /// <summary>Gives a file, directory, memory, pipe or device away: the caller owns it.</summary>
    /// <exception cref="LaunchdException">It is a socket or a process (<see cref="LaunchdError.WrongKind"/>).</exception>
    /// <exception cref="ObjectDisposedException">It was taken before.</exception>
    public SafeFileHandle TakeFile()
    {
        Expect("a file", DescriptorKind.File, DescriptorKind.Directory, DescriptorKind.Memory, DescriptorKind.Pipe, DescriptorKind.Device);
        return new SafeFileHandle(Take().ReleaseNumber(), ownsHandle: true);
    }

    /// <summary>Gives a file, memory, pipe or device away as a stream that reads or writes as it was opened: the caller owns it.</summary>
    /// <exception cref="LaunchdException">Neither of these (<see cref="LaunchdError.WrongKind"/>).</exception>
    /// <exception cref="ObjectDisposedException">It was taken before.</exception>
    public FileStream TakeStream()
    {
        Expect("a stream", DescriptorKind.File, DescriptorKind.Memory, DescriptorKind.Pipe, DescriptorKind.Device);
        FileAccess access = Access(Descriptor);
        // No buffer in this process: what is written is there for other holders of the file when the call returns.
        return new FileStream(TakeFile(), access, bufferSize: 0);
    }

    /// <summary>Gives memory or a file away as a mapping that other holders see: the caller owns it.</summary>
    /// <param name="access"><see cref="MemoryMappedFileAccess.Read"/> for what is sealed against writing or open for reading only.</param>
    /// <exception cref="LaunchdException">Neither memory nor a file (<see cref="LaunchdError.WrongKind"/>).</exception>
    /// <exception cref="ObjectDisposedException">It was taken before.</exception>
    public MemoryMappedFile TakeMemory(MemoryMappedFileAccess access = MemoryMappedFileAccess.ReadWrite)
    {
        Expect("memory", DescriptorKind.Memory, DescriptorKind.File);
        return MemoryMappedFile.CreateFromFile(TakeFile(), mapName: null, capacity: 0, access, HandleInheritability.None, leaveOpen: false);
    }

    /// <summary>Gives a process away: the caller owns it.</summary>
    /// <exception cref="LaunchdException">It is no process (<see cref="LaunchdError.WrongKind"/>).</exception>
    /// <exception cref="ObjectDisposedException">It was taken before.</exception>
    public PidFd TakeProcess()
    {
        Expect("a process", DescriptorKind.Process);
        return new PidFd(Take());
    }

    /// <summary>Closes it, if nobody took it.</summary>
    public void Dispose() => Interlocked.Exchange(ref _descriptor, null)?.Dispose();

    /// <summary>Name and kind.</summary>
    public override string ToString() => $"{Name} ({Kind})";

    private static FileAccess Access(FileDescriptor descriptor) =>
        (Flags(descriptor) & ClientLibc.O_ACCMODE) switch { 0 => FileAccess.Read, 1 => FileAccess.Write, _ => FileAccess.ReadWrite };

    private static bool IsBlocking(SafeHandle socket) => (Flags(socket) & ClientLibc.O_NONBLOCK) == 0;

    private static int Flags(SafeHandle descriptor)
    {
        using var borrowed = new Borrowed(descriptor);
        int flags = ClientLibc.fcntl(borrowed.Number, ClientLibc.F_GETFL, 0);
        return flags >= 0 ? flags : throw LaunchdException.Kernel("fcntl(F_GETFL)", Errno.Last);
    }

    private void Expect(string wanted, params ReadOnlySpan<DescriptorKind> kinds)
    {
        ObjectDisposedException.ThrowIf(IsTaken, this);
        if (!kinds.Contains(Kind))
            throw new LaunchdException(LaunchdError.WrongKind, $"descriptor '{Name}' is {Kind}, not {wanted}", Kind.ToString());
    }

    private ObjectDisposedException Gone() => new(ToString(), $"descriptor '{Name}' was taken before");
}
