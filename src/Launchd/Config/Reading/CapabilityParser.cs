using Launchd.Config.Diagnostics;
using Launchd.Config.Tables;
using Launchd.Config.Toml;

namespace Launchd.Config.Reading;

/// <summary>Names of capabilities to bits.</summary>
internal static class CapabilityParser
{
    // capabilities(7), linux/capability.h: the place in this list is the bit.
    private static readonly string[] Names =
    [
        "chown", "dac_override", "dac_read_search", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "linux_immutable",
        "net_bind_service", "net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner", "sys_module", "sys_rawio", "sys_chroot",
        "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice", "sys_resource", "sys_time", "sys_tty_config", "mknod", "lease",
        "audit_write", "audit_control", "setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm", "block_suspend", "audit_read",
        "perfmon", "bpf", "checkpoint_restore",
    ];

    /// <summary>The set, or null if the key is missing. Wrong names are reported.</summary>
    public static ulong? Read(TableReader table, string key)
    {
        if (!table.Has(key))
            return null;
        ulong set = 0;
        foreach (TomlValue item in table.Elements(key))
        {
            if (table.TextOf(key, item) is not { } text)
                continue;
            string name = text.StartsWith("CAP_", StringComparison.OrdinalIgnoreCase) ? text[4..] : text;
            int bit = Array.FindIndex(Names, n => n.Equals(name, StringComparison.OrdinalIgnoreCase));
            if (bit >= 0)
                set |= 1UL << bit;
            else
                table.Error(DiagnosticCode.UnknownChoice, key, item, $"there is no capability '{text}'", Suggestion.For(name, Names));
        }
        return set;
    }

    /// <summary>The names of a set's bits; null: none.</summary>
    public static string? Show(ulong set)
    {
        List<string> names = [];
        for (int bit = 0; bit < 64; bit++)
        {
            if ((set & (1UL << bit)) != 0)
                names.Add(bit < Names.Length ? Names[bit] : bit.ToString(System.Globalization.CultureInfo.InvariantCulture));
        }
        return names.Count == 0 ? null : string.Join(", ", names);
    }
}
