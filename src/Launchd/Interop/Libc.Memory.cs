namespace Launchd.Interop;

// memfd_create(2), fcntl(2): what Tmds.LibC (2020) does not know yet.
internal static unsafe partial class Libc
{
    /// <summary>Linux 6.3; not executable, and nobody can make it so. Implies MFD_ALLOW_SEALING.</summary>
    public const uint MFD_NOEXEC_SEAL = 0x8;
}
