using Launchd.Addresses;
using Launchd.Client;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;
using static Tmds.Linux.LibC;

namespace Launchd.Linux.Listening;

/// <summary>Opens a character device, or a regular file in /proc or /sys, for reading; anything else is refused.</summary>
internal static class SpecialOpener
{
    public static OpenResult<OpenedListener> Open(ListenAddress.Special endpoint, ListenerRequest request)
    {
        string subject = $"cannot open {endpoint}";
        if (!Find(endpoint, subject).TryGet(out FileDescriptor? found, out OpenFailure? failure))
            return failure;
        using FileDescriptor node = found;
        FileDescriptor? special = Files.Open(null, Files.ProcPath(node), O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, out Errno refused);
        if (special is null)
        {
            return new OpenFailure("open", subject, refused, refused == Errno.ENODEV || refused == Errno.ENXIO
                ? "no driver serves the device" : Remedy.ForPath(refused));
        }
        if (!request.Options.NonBlocking)
            refused = Files.SetNonBlocking(special, isNonBlocking: false);
        if (refused == Errno.None)
            return new OpenedListener { Descriptor = special, Address = endpoint.ToString() };
        special.Dispose();
        return new OpenFailure("fcntl", subject, refused);
    }

    /// <summary>
    /// Looks whether the file is there and of a kind that may be opened; null: it is. Opening a device can have effects of its own.
    /// </summary>
    public static OpenFailure? Look(ListenAddress.Special endpoint)
    {
        if (!Find(endpoint, $"cannot open {endpoint}").TryGet(out FileDescriptor? node, out OpenFailure? failure))
            return failure;
        node.Dispose();
        return null;
    }

    private static OpenResult<FileDescriptor> Find(ListenAddress.Special endpoint, string subject)
    {
        OpenResult<ParentDirectory> opened = ParentDirectory.Open(endpoint.SpecialPath, directoryMode: null, subject);
        if (!opened.TryGet(out ParentDirectory? parent, out OpenFailure? failure))
            return failure;
        using ParentDirectory held = parent;
        FileDescriptor? node = Files.OpenNode(parent.Directory, parent.Name, out Errno refused);
        if (node is null)
            return new OpenFailure("open", subject, refused, Remedy.ForPath(refused));
        refused = FileStatus.Read(node, out FileStatus status);
        string? place = Files.ReadLink(null, Files.ProcPath(node));
        bool isKernelFile = status.Kind == FileKind.Regular
            && place is not null && (place.StartsWith("/proc/", StringComparison.Ordinal)
                || place.StartsWith("/sys/", StringComparison.Ordinal));
        if (refused != Errno.None || status.Kind == FileKind.CharacterDevice || isKernelFile)
            return node;
        node.Dispose();
        return new OpenFailure(
            "open", subject, Errno.EINVAL, $"it is {status.KindText}, not a character device or a file in /proc or /sys");
    }
}
