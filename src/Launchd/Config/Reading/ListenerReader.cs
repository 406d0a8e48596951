using System.Collections.Immutable;
using Launchd.Addresses;
using Launchd.Config.Diagnostics;
using Launchd.Config.Tables;
using Launchd.Config.Toml;
using Launchd.Config.Values;
using Launchd.Model;

namespace Launchd.Config.Reading;

/// <summary>A listener with its table.</summary>
internal sealed record ListenerEntry(ListenerDefinition Definition, TableReader Table);

/// <summary>Reads one <c>[sockets.NAME]</c>.</summary>
internal static class ListenerReader
{
    /// <summary>sd_listen_fds_with_names(3) cuts longer names.</summary>
    private const int LongestNameBytes = 255;

    private const int MostAddresses = 256;

    // Each key with the kinds of address it can act on; given without any such address, the author is mistaken about something.
    private static readonly (string Key, string Wanted, Func<ListenAddress, bool> Fits)[] KeyKinds =
    [
        ("mode", "a path or a queue", HasOwner), ("user", "a path or a queue", HasOwner), ("group", "a path or a queue", HasOwner),
        ("directory_mode", "a path", HasPath),
        ("symlinks", "a path", HasPath), ("pin_path", "a path", HasPath), ("remove_on_stop", "a path or a queue", HasOwner),
        ("backlog", "connections", a => a.IsConnectionOriented),
        ("ipv6_only", "tcp:// or udp://", IsInternet), ("free_bind", "tcp:// or udp://", IsInternet),
        ("transparent", "tcp:// or udp://", IsInternet), ("bind_to_device", "tcp:// or udp://", IsInternet),
        ("tos", "tcp:// or udp://", IsInternet), ("ttl", "tcp:// or udp://", IsInternet),
        ("congestion", "tcp://", IsTcp), ("no_delay", "tcp://", IsTcp), ("keep_alive", "tcp://", IsTcp), ("defer_accept", "tcp://", IsTcp),
        ("fast_open", "tcp://", IsTcp),
        ("pass_credentials", "unix:", a => a is ListenAddress.Unix or ListenAddress.Netlink),
        ("pass_pidfd", "unix:", a => a is ListenAddress.Unix), ("pass_rights", "unix:", a => a is ListenAddress.Unix),
    ];

    // A socket without any of these shares one set of options with all the others.
    private static readonly string[] OptionKeys =
    [
        "ipv6_only", "free_bind", "transparent", "bind_to_device", "mark", "priority", "tos", "ttl", "congestion", "no_delay", "keep_alive",
        "defer_accept", "fast_open", "receive_buffer", "send_buffer", "pass_credentials", "pass_pidfd", "pass_rights", "non_blocking",
    ];

    public static ListenerDefinition Read(TableReader table)
    {
        ListenerDefinition defaults = new() { Key = table.Name, Name = table.Name, Addresses = [] };
        ImmutableArray<ListenAddress> addresses = ReadAddresses(table);
        ListenerDefinition listener = new()
        {
            Key = table.Name,
            Name = ReadName(table),
            Addresses = addresses,
            BacklogCount = table.Int("backlog", defaults.BacklogCount, 1, int.MaxValue),
            Mode = table.Mode("mode", defaults.Mode),
            User = table.String("user", null),
            Group = table.String("group", null),
            DirectoryMode = table.Mode("directory_mode", defaults.DirectoryMode),
            Symlinks = ReadSymlinks(table),
            RemoveOnStop = table.Bool("remove_on_stop", defaults.RemoveOnStop),
            KeepOptions = table.Bool("keep_options", defaults.KeepOptions),
            PinPath = table.Bool("pin_path", defaults.PinPath),
            ShardCount = table.Int("shards", 0, 0, 1024),
            Options = table.HasAny(OptionKeys) ? ReadOptions(table) : SocketOptions.Default,
            TriggerLimit = PolicyReader.RateLimit(table, "trigger_limit", new RateLimit(20, TimeSpan.FromSeconds(2)), null),
            MaxConnectionCount = table.Int("max_connections", defaults.MaxConnectionCount, 1, 100_000),
            MaxConnectionsPerSourceCount = table.Int("max_connections_per_source", 0, 0, 100_000),
        };
        CheckKinds(table, listener);
        if (listener.User is { } user && !UserRule.MayUse(table.Context.Source, user))
            table.Error(DiagnosticCode.NeedsRoot, "user", $"only root can give the socket to user '{user}'", UserRule.Hint);
        table.ReportUnknown(KnownKeys.Socket);
        return listener;
    }

    private static ImmutableArray<ListenAddress> ReadAddresses(TableReader table)
    {
        if (!table.Has("listen"))
        {
            if (table.Lacks("listen", KnownKeys.Socket))
            {
                table.ErrorHere(
                    DiagnosticCode.KeyMissing, "the key 'listen' is missing", "write listen = \"tcp://127.0.0.1:8080\", for instance");
            }
            return [];
        }
        List<TomlValue> elements = table.Elements("listen", orSingle: true);
        if (elements.Count == 0)
            table.Error(DiagnosticCode.EmptyValue, "listen", "names no address");
        if (elements.Count > MostAddresses)
            table.Error(DiagnosticCode.OutOfRange, "listen", $"{elements.Count} addresses are more than {MostAddresses}");
        ImmutableArray<ListenAddress>.Builder addresses = ImmutableArray.CreateBuilder<ListenAddress>(elements.Count);
        foreach (TomlValue element in elements)
        {
            if (ReadAddress(table, "listen", element) is { } address)
                addresses.Add(address);
        }
        return addresses.DrainToImmutable();
    }

    /// <summary>One address, or null after an error.</summary>
    public static ListenAddress? ReadAddress(TableReader table, string key, TomlValue element)
    {
        string? form = element.Kind == TomlKind.Integer ? $"write \"tcp://127.0.0.1:{element.Number}\"" : null;
        if (table.TextOf(key, element, form: form) is not { } text)
            return null;
        AddressResult result = AddressParser.Parse(text, table.Source.DirectoryPath);
        if (result.Address is null)
            table.Error(result.Code, key, element, result.Problem, result.Hint);
        return result.Address;
    }

    private static string ReadName(TableReader table)
    {
        string name = table.String("name", null) ?? table.Name;
        if (name.Length <= LongestNameBytes && name.All(c => c is >= ' ' and <= '~' and not ':'))
            return name;
        table.Error(DiagnosticCode.BadName, "name", $"must be printable ASCII without a colon, at most {LongestNameBytes} bytes");
        return table.Name;
    }

    private static ImmutableArray<string> ReadSymlinks(TableReader table)
    {
        if (!table.Has("symlinks"))
            return [];
        return [.. table.Elements("symlinks").Select(item => table.FullPathOf("symlinks", item)).OfType<string>()];
    }

    private static SocketOptions ReadOptions(TableReader table) => new()
    {
        Ipv6Only = table.Has("ipv6_only") ? table.Bool("ipv6_only", false) : null,
        FreeBind = table.Bool("free_bind", false),
        Transparent = table.Bool("transparent", false),
        BindToDevice = ReadDevice(table),
        Mark = table.IntOrNull("mark", 0, int.MaxValue),
        Priority = table.IntOrNull("priority", 0, int.MaxValue),
        TypeOfService = table.IntOrNull("tos", 0, 255),
        TimeToLive = table.IntOrNull("ttl", 1, 255),
        Congestion = table.String("congestion", null),
        NoDelay = table.Bool("no_delay", false),
        KeepAlive = ReadKeepAlive(table),
        DeferAccept = table.DurationOrNone("defer_accept", null),
        FastOpenCount = table.Int("fast_open", 0, 0, int.MaxValue),
        ReceiveBufferBytes = table.Size("receive_buffer", null, 1, int.MaxValue),
        SendBufferBytes = table.Size("send_buffer", null, 1, int.MaxValue),
        PassCredentials = table.Bool("pass_credentials", false),
        PassPidfd = table.Bool("pass_pidfd", false),
        PassRights = table.Bool("pass_rights", true),
        NonBlocking = table.Bool("non_blocking", false),
    };

    // netdevice(7): IFNAMSIZ is 16 with the NUL.
    private static string? ReadDevice(TableReader table)
    {
        string? device = table.String("bind_to_device", null);
        if (device is null || (device.Length <= 15 && !device.Contains('/')))
            return device;
        table.Error(DiagnosticCode.OutOfRange, "bind_to_device", $"'{device}' is no name of a network interface (at most 15 bytes)");
        return null;
    }

    private static KeepAlive? ReadKeepAlive(TableReader table)
    {
        if (table.Take("keep_alive") is not { } value)
            return null;
        if (value.Kind == TomlKind.Boolean)
            return value.Flag ? new KeepAlive(null, null, null) : null;
        if (table.Table("keep_alive", "write true or { idle = \"60s\", interval = \"10s\", probes = 5 }") is not { } below)
            return null;
        // tcp(7): the kernel takes whole seconds up to 32767 and at most 127 probes.
        KeepAlive keepAlive = new(ReadSeconds(below, "idle"), ReadSeconds(below, "interval"), below.IntOrNull("probes", 1, 127));
        below.ReportUnknown(["idle", "interval", "probes"]);
        return keepAlive;
    }

    private static TimeSpan? ReadSeconds(TableReader table, string key)
    {
        if (!table.Has(key))
            return null;
        TimeSpan duration = table.Duration(key, TimeSpan.FromSeconds(1), least: TimeSpan.FromSeconds(1));
        if (duration <= TimeSpan.FromSeconds(32767))
            return duration;
        table.Error(DiagnosticCode.OutOfRange, key, "is longer than the 32767s that the kernel takes");
        return null;
    }

    private static void CheckKinds(TableReader table, ListenerDefinition listener)
    {
        if (listener.Addresses.IsEmpty)
            return;
        foreach ((string key, string wanted, Func<ListenAddress, bool> fits) in KeyKinds)
        {
            if (table.Has(key) && !listener.Addresses.Any(fits))
                table.Error(DiagnosticCode.NoEffect, key, $"has no effect without an address of {wanted}");
        }
        if (listener.Addresses.All(a => a is ListenAddress.Inherited) && OptionKeys.FirstOrDefault(table.Has) is { } option)
        {
            table.Error(DiagnosticCode.NoEffect, option, "has no effect on a socket that is inherited",
                "its options are those of who has opened it, such as a socket unit");
        }
        // SO_REUSEPORT spreads over sockets of one port; a path can be bound only once (socket(7)).
        if (listener.ShardCount > 0 && !listener.Addresses.All(IsInternet))
            table.Error(DiagnosticCode.NoEffect, "shards", "only tcp:// and udp:// addresses can be split into shards");
        if (listener.ShardCount > 1 && listener.Addresses.Any(a => a is ListenAddress.Tcp { Port: 0 } or ListenAddress.Udp { Port: 0 }))
            table.Error(DiagnosticCode.Contradiction, "shards", "shards share one port, which port 0 does not name");
        if (listener.Symlinks.Length > 0 && listener.Addresses.Count(HasPath) != 1)
            table.Error(DiagnosticCode.Contradiction, "symlinks", "needs exactly one path to point at");
        if (listener.Addresses.Any(a => a is ListenAddress.Unix { IsAbstract: true }))
        {
            table.Warning(
                DiagnosticCode.AbstractSocket, "listen", "an abstract socket has no permissions: everybody here can connect", "use a path");
        }
    }

    private static bool HasPath(ListenAddress address) => address.Path is not null;

    private static bool HasOwner(ListenAddress address) => HasPath(address) || address is ListenAddress.MessageQueue;

    private static bool IsInternet(ListenAddress address) => address is ListenAddress.Tcp or ListenAddress.Udp;

    private static bool IsTcp(ListenAddress address) => address is ListenAddress.Tcp;
}
