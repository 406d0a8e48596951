using System.Net;
using System.Net.Sockets;
using Launchd.Addresses;
using Launchd.Config.Diagnostics;
using Launchd.Config.Reading;
using Launchd.Config.Toml;

namespace Launchd.Config.Checking;

/// <summary>
/// Finds addresses that the kernel does not open beside each other: an address for all interfaces takes its port on each of them, and
/// <c>[::]</c> takes that of IPv4 too unless it has <c>ipv6_only</c> (ipv6(7)). Sockets that are all split into shards may share a port,
/// and so may sockets that are bound to different devices.
/// </summary>
internal sealed class CoveredAddresses
{
    // Those for all interfaces, and the others, of which there may be thousands that do not cover each other.
    private readonly Dictionary<(bool IsTcp, int Port), (List<Opened> Wide, List<Opened> Narrow)> _byPort = [];

    public static void Check(IEnumerable<ListenerEntry> listeners)
    {
        CoveredAddresses all = new();
        foreach (ListenerEntry listener in listeners)
        {
            foreach (ListenAddress address in listener.Definition.Addresses)
                all.Add(listener, address);
        }
    }

    private void Add(ListenerEntry listener, ListenAddress address)
    {
        (bool isTcp, IPAddress host, int port, bool isDual) = address switch
        {
            ListenAddress.Tcp tcp => (true, tcp.Host, tcp.Port, tcp.DualStack),
            ListenAddress.Udp udp => (false, udp.Host, udp.Port, udp.DualStack),
            _ => (false, IPAddress.None, 0, false),
        };
        if (port == 0)
            return;
        Opened opened = Opened.Of(listener, address, host.IsIPv4MappedToIPv6 ? host.MapToIPv4() : host, isDual);
        if (!_byPort.TryGetValue((isTcp, port), out (List<Opened> Wide, List<Opened> Narrow) there))
            _byPort.Add((isTcp, port), there = ([], []));
        Opened? first = there.Wide.Find(other => other.IsInTheWayOf(opened));
        if (opened.Width > 0)
            first ??= there.Narrow.Find(other => other.IsInTheWayOf(opened));
        if (first is not null)
            Report(first, opened);
        else
            (opened.Width > 0 ? there.Wide : there.Narrow).Add(opened);
    }

    private static void Report(Opened first, Opened second)
    {
        bool isFirstWider = first.Width >= second.Width;
        (Opened wide, Opened narrow) = isFirstWider ? (first, second) : (second, first);
        bool isOfOtherFamily = !wide.IsDual && wide.TakesAllOfIPv6 && narrow.IsIPv4;
        string hint = isOfOtherFamily
            ? $"write ipv6_only = true for the socket with {wide.Address}, or the address *:PORT alone for both families"
            : "leave one of them out";
        string place = first.Listener == second.Listener ? "" : $" of sockets.{first.Listener.Definition.Key}";
        string said = isFirstWider
            ? $"cannot be opened beside {first.Address}{place}, which covers it"
            : $"covers {first.Address}{place}, and cannot be opened beside it";
        string shown = second.Address.ToString()!;
        TomlValue at = CrossChecks.ElementOf(second.Listener.Table, "listen", text => shown.EndsWith(text, StringComparison.Ordinal))
            ?? second.Listener.Table.Take("listen")!;
        second.Listener.Table.Error(DiagnosticCode.DuplicateAddress, "listen", at, $"{shown} {said}", hint);
    }

    /// <summary>One address with what it takes.</summary>
    private sealed record Opened(
        ListenerEntry Listener, ListenAddress Address, bool IsIPv4, bool IsDual, bool TakesAllOfIPv4, bool TakesAllOfIPv6)
    {
        public static Opened Of(ListenerEntry listener, ListenAddress address, IPAddress host, bool isDual)
        {
            bool isAllOfIPv6 = isDual || host.Equals(IPAddress.IPv6Any);
            bool isForBoth = isDual || (isAllOfIPv6 && listener.Definition.Options.Ipv6Only != true);
            return new Opened(listener, address, host.AddressFamily == AddressFamily.InterNetwork, isDual,
                isForBoth || host.Equals(IPAddress.Any), isAllOfIPv6);
        }

        /// <summary>How much it takes; 0: one address.</summary>
        public int Width => IsDual ? 3 : TakesAllOfIPv6 ? 2 : TakesAllOfIPv4 ? 1 : 0;

        public bool IsInTheWayOf(Opened other)
        {
            bool isAnyWide = (Covers(other) || other.Covers(this)) && Address != other.Address;
            bool areShards = Listener.Definition.ShardCount > 0 && other.Listener.Definition.ShardCount > 0;
            bool areElsewhere = Listener.Definition.Options.BindToDevice is { } device
                && other.Listener.Definition.Options.BindToDevice is { } otherDevice && device != otherDevice;
            return isAnyWide && !areShards && !areElsewhere;
        }

        private bool Covers(Opened other) =>
            (TakesAllOfIPv4 && (other.IsIPv4 || other.TakesAllOfIPv4)) || (TakesAllOfIPv6 && !other.IsIPv4);
    }
}
