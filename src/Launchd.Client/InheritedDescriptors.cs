using System.Globalization;
using Launchd.Client.Interop;

namespace Launchd.Client;

/// <summary>
/// Reads what a program inherits: the variables of sd_listen_fds(3), and the instance channel. Every number is checked before it gets an
/// owner, and is close-on-exec afterwards.
/// </summary>
internal static class InheritedDescriptors
{
    /// <summary>SD_LISTEN_FDS_START.</summary>
    public const int FirstNumber = 3;

    private const string ListenPid = "LISTEN_PID", ListenPidFdId = "LISTEN_PIDFDID",
        ListenFds = "LISTEN_FDS", ListenNames = "LISTEN_FDNAMES";
    private const string ChannelNumber = "LAUNCHD_CHANNEL", ChannelPid = "LAUNCHD_PID";

    /// <summary>Variables that are unset once they were read, so that no child takes them for its own.</summary>
    public static readonly string[] Variables = [ListenPid, ListenPidFdId, ListenFds, ListenNames, ChannelNumber, ChannelPid];

    /// <summary>The announced descriptors in their order; none if the variables are another process's.</summary>
    /// <param name="environment">Variables by name.</param>
    /// <param name="first">The first number.</param>
    /// <exception cref="LaunchdException">A variable is wrong, or an announced descriptor is not open.</exception>
    public static NamedDescriptor[] Read(Func<string, string?> environment, int first = FirstNumber)
    {
        if (!IsOurs(environment) || environment(ListenFds) is not { } text)
            return [];
        if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int count)
            || count <= 0 || count > int.MaxValue - first)
        {
            throw LaunchdException.Environment(ListenFds, $"is '{text}', not a count of descriptors", Errno.EINVAL);
        }
        string[]? names = environment(ListenNames)?.Split(':');
        if (names is not null && names.Length != count)
            throw LaunchdException.Environment(ListenNames, $"has {names.Length} names for {count} descriptors", Errno.EINVAL);
        // All numbers are checked before any is owned: if one is missing, the announcement is wrong, and whatever
        // is open at the others is not ours to close.
        for (int i = 0; i < count; i++)
        {
            if (CloseOnExec(first + i) is var refused && refused != Errno.None)
                throw LaunchdException.Environment(ListenFds, $"announces descriptor {first + i}: {refused.Text}", refused);
        }
        var all = new NamedDescriptor[count];
        for (int i = 0; i < count; i++)
            all[i] = new NamedDescriptor(names?[i] ?? "unknown", new FileDescriptor(first + i));
        return all;
    }

    /// <summary>The instance channel; null if there is none, or it is another process's.</summary>
    /// <exception cref="LaunchdException">The variable is wrong, or its number is no such socket.</exception>
    public static FileDescriptor? ReadChannel(Func<string, string?> environment)
    {
        if (environment(ChannelNumber) is not { } text || environment(ChannelPid) is not { } pidText)
            return null;
        if (ParsePid(ChannelPid, pidText) != Environment.ProcessId)
            return null;
        if (!int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int number))
            throw LaunchdException.Environment(ChannelNumber, $"is '{text}', not a descriptor's number", Errno.EINVAL);
        Errno refused = DescriptorQuery.Option(number, ClientLibc.SO_DOMAIN, out int domain);
        if (refused == Errno.None && domain != ClientLibc.AF_UNIX)
            refused = Errno.EPROTONOSUPPORT;
        int type = 0;
        if (refused == Errno.None)
            refused = DescriptorQuery.Option(number, ClientLibc.SO_TYPE, out type);
        if (refused == Errno.None && type != ClientLibc.SOCK_SEQPACKET)
            refused = Errno.EPROTONOSUPPORT;
        if (refused == Errno.None)
            refused = CloseOnExec(number);
        return refused == Errno.None
            ? new FileDescriptor(number)
            : throw LaunchdException.Environment(ChannelNumber, $"is {number}, which is not the channel: {refused.Text}", refused);
    }

    private static bool IsOurs(Func<string, string?> environment)
    {
        if (environment(ListenPid) is not { } pid || ParsePid(ListenPid, pid) != Environment.ProcessId)
            return false;
        if (environment(ListenPidFdId) is not { } idText)
            return true;
        if (!ulong.TryParse(idText, NumberStyles.None, CultureInfo.InvariantCulture, out ulong id))
            throw LaunchdException.Environment(ListenPidFdId, $"is '{idText}', not a number", Errno.EINVAL);
        // Where the kernel gives processes no such number, the pid has to do.
        ulong own = OwnId();
        return own == 0 || own == id;
    }

    private static int ParsePid(string variable, string text) =>
        int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out int pid) && pid > 0
            ? pid
            : throw LaunchdException.Environment(variable, $"is '{text}', not a process", Errno.EINVAL);

    private static ulong OwnId()
    {
        nint number = ClientLibc.syscall(ClientLibc.SYS_pidfd_open, Environment.ProcessId, 0, 0, 0);
        if (number < 0)
            return 0;
        using var self = new FileDescriptor((int)number);
        return DescriptorQuery.ProcessId64(self.Number);
    }

    private static Errno CloseOnExec(int number)
    {
        int flags = ClientLibc.fcntl(number, ClientLibc.F_GETFD, 0);
        if (flags < 0)
            return Errno.Last;
        return ClientLibc.fcntl(number, ClientLibc.F_SETFD, flags | ClientLibc.FD_CLOEXEC) < 0 ? Errno.Last : Errno.None;
    }
}
