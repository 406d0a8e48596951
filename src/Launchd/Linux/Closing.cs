using Launchd.Client;
using static Tmds.Linux.LibC;

namespace Launchd.Linux;

/// <summary>Whether close(2) may keep its caller waiting.</summary>
internal static unsafe class Closing
{
    // statfs(2): file systems of this machine alone, which write back on their own.
    private static readonly ulong[] LocalFileSystems = [0x01021994, 0x858458f6, 0xef53, 0x58465342, 0x9123683e, 0x794c7630, 0x50494446, 0x9fa0, 0x62656572];

    /// <summary>
    /// True for a socket that lingers (socket(7), SO_LINGER: until its data is sent), a terminal, and a file of a network or user-space file
    /// system, which may ask its server first.
    /// </summary>
    public static bool MayBlock(FileDescriptor descriptor)
    {
        if (FileStatus.Read(descriptor, out FileStatus status) != Errno.None)
            return false;
        switch (status.Kind)
        {
            case FileKind.Socket:
                int* linger = stackalloc int[2];
                Tmds.Linux.socklen_t length = 2 * sizeof(int);
                return getsockopt(descriptor.Number, SOL_SOCKET, SO_LINGER, linger, &length) == 0 && linger[0] != 0;
            case FileKind.Regular or FileKind.Directory or FileKind.BlockDevice:
                ulong* facts = stackalloc ulong[16];
                return SpawnLibc.fstatfs(descriptor.Number, facts) == 0 && !LocalFileSystems.Contains(facts[0]);
            case FileKind.CharacterDevice:
                const ulong memoryDevices = 1;
                return status.DeviceNumber >> 32 != memoryDevices;
            default:
                return false;
        }
    }
}
