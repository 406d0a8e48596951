using Launchd.Client;
using Launchd.Linux.Paths;
using Launchd.Linux.Sockets;

namespace Launchd.Linux.Listening;

/// <summary>
/// What can be done about a refused port. To tell, it looks at the machine: which process has the
/// port, and which ports this process may bind.
/// </summary>
internal static class BindRemedy
{
    /// <summary>For a bind(2) of an IP port, where it is known; else null.</summary>
    public static string? For(Errno refused, int port, string protocol)
    {
        if (refused == Errno.EADDRINUSE)
            return PortHolder.Find(protocol, port)?.ToString();
        if (refused == Errno.EADDRNOTAVAIL)
            return "no interface of this machine has the address; free_bind = true binds it before it is there";
        if (refused != Errno.EACCES)
            return null;
        string? first = Files.ReadText("/proc/sys/net/ipv4/ip_unprivileged_port_start")?.Trim();
        return int.TryParse(first, out int lowest) && port < lowest
            ? $"a port below {lowest} needs CAP_NET_BIND_SERVICE or a lower net.ipv4.ip_unprivileged_port_start"
            : "the address is not permitted to this process";
    }
}
