using Launchd.Client;

namespace Launchd.Host.Channel;

/// <summary>
/// The names of error numbers, with which programs compare them (errno(3)): those that can occur when descriptors are passed.
/// </summary>
internal static class ErrnoNames
{
    private static readonly (Errno Errno, string Name)[] All =
    [
        (Errno.EPERM, "EPERM"), (Errno.ENOENT, "ENOENT"), (Errno.ESRCH, "ESRCH"), (Errno.EIO, "EIO"), (Errno.ENXIO, "ENXIO"),
        (Errno.EBADF, "EBADF"), (Errno.ENOMEM, "ENOMEM"), (Errno.EACCES, "EACCES"), (Errno.EBUSY, "EBUSY"),
        (Errno.EINVAL, "EINVAL"), (Errno.ENFILE, "ENFILE"), (Errno.EMFILE, "EMFILE"), (Errno.EROFS, "EROFS"),
        (Errno.ENOSYS, "ENOSYS"), (Errno.ELOOP, "ELOOP"), (Errno.EMSGSIZE, "EMSGSIZE"), (Errno.ETOOMANYREFS, "ETOOMANYREFS"),
        (Errno.EAGAIN, "EAGAIN"), (Errno.ETIMEDOUT, "ETIMEDOUT"), (Errno.ENODEV, "ENODEV"), (Errno.EOPNOTSUPP, "EOPNOTSUPP"),
    ];

    public static string Of(Errno errno)
    {
        foreach ((Errno known, string name) in All)
        {
            if (known == errno)
                return name;
        }
        return $"E{errno.Value}";
    }
}
