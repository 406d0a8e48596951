using Launchd.Client.Interop;
using Microsoft.Win32.SafeHandles;

namespace Launchd.Client.Channel;

/// <summary>An opaque state in memory that can be passed on and that nobody can change any more.</summary>
internal static class SealedMemory
{
    /// <summary>Writes a state into new sealed memory, which the caller owns.</summary>
    /// <exception cref="LaunchdException">The kernel refused.</exception>
    public static FileDescriptor Write(ReadOnlySpan<byte> state)
    {
        FileDescriptor memory = FileDescriptor.CreateMemory("state", state.Length);
        try
        {
            using (SafeFileHandle file = Borrow(memory))
                RandomAccess.Write(file, state, 0);
            const int Seals = ClientLibc.F_SEAL_SEAL | ClientLibc.F_SEAL_SHRINK | ClientLibc.F_SEAL_GROW | ClientLibc.F_SEAL_WRITE;
            return ClientLibc.fcntl(memory.Number, ClientLibc.F_ADD_SEALS, Seals) == 0
                ? memory
                : throw LaunchdException.Kernel("fcntl(F_ADD_SEALS)", Errno.Last);
        }
        catch
        {
            memory.Dispose();
            throw;
        }
    }

    /// <param name="memory">Borrowed.</param>
    public static byte[] Read(FileDescriptor memory)
    {
        using SafeFileHandle file = Borrow(memory);
        byte[] state = new byte[RandomAccess.GetLength(file)];
        for (int at = 0; at < state.Length;)
        {
            int length = RandomAccess.Read(file, state.AsSpan(at), at);
            if (length == 0)
                throw new LaunchdException(LaunchdError.BadAnswer, "the saved state became shorter while it was read");
            at += length;
        }
        return state;
    }

    private static SafeFileHandle Borrow(FileDescriptor memory)
    {
        using FileDescriptor copy = memory.Duplicate();
        return new SafeFileHandle(copy.ReleaseNumber(), ownsHandle: true);
    }
}
