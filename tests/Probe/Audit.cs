using System.Globalization;
using System.Text.Json;

namespace Launchd.Probe;

/// <summary>
/// Prints everything that this process was given, as one line.
/// <para>What the runtime itself changes cannot be seen from in here: its own descriptors are all close-on-exec, so <c>inherited</c> is
/// false for them, but it ignores SIGPIPE and catches others before <c>Main</c>. To audit dispositions, let the service's command be
/// <c>grep ^Sig /proc/self/status</c> instead.</para>
/// </summary>
internal static class Audit
{
    private static readonly string[] Prefixes = ["LISTEN_", "NOTIFY_", "WATCHDOG_", "LAUNCHD_", "FDSTORE", "REMOTE_", "SO_COOKIE"];

    public static void Print()
    {
        Dictionary<string, string> status = Status();
        string[] stat = File.ReadAllText("/proc/self/stat").Split(") ")[^1].Split(' ');
        Output.Line("audit", json =>
        {
            // proc_pid_stat(5), counted from the field after the name: state ppid pgrp session tty tpgid …, nice is the 17th.
            json.WriteNumber("pid", Environment.ProcessId);
            json.WriteNumber("ppid", Integer(stat[1]));
            json.WriteNumber("pgid", Integer(stat[2]));
            json.WriteNumber("sid", Integer(stat[3]));
            json.WriteNumber("nice", Integer(stat[16]));
            json.WriteNumber("oom_score_adj", Integer(File.ReadAllText("/proc/self/oom_score_adj").Trim()));
            json.WriteNumber("parent_death_signal", ParentDeathSignal());
            WriteIdentity(json, status);
            json.WriteString("umask", status["Umask"]);
            json.WriteString("cwd", Environment.CurrentDirectory);
            json.WriteString("comm", status["Name"]);
            json.WriteString("cgroup", File.ReadAllText("/proc/self/cgroup").Trim());
            WriteWords(json, "arguments", Environment.GetCommandLineArgs());
            WriteSignals(json, status);
            WriteLimits(json);
            WriteEnvironment(json);
            WriteDescriptors(json);
        });
    }

    private static void WriteIdentity(Utf8JsonWriter json, Dictionary<string, string> status)
    {
        json.WriteNumber("uid", Integer(status["Uid"].Split('\t')[1]));
        json.WriteNumber("gid", Integer(status["Gid"].Split('\t')[1]));
        json.WriteStartArray("groups");
        foreach (string group in status["Groups"].Split(' ', StringSplitOptions.RemoveEmptyEntries))
            json.WriteNumberValue(Integer(group));
        json.WriteEndArray();
        json.WriteBoolean("no_new_privileges", status["NoNewPrivs"] == "1");
        json.WriteStartObject("capabilities");
        foreach (string set in (string[])["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"])
            json.WriteString(set, status[set]);
        json.WriteEndObject();
    }

    private static void WriteSignals(Utf8JsonWriter json, Dictionary<string, string> status)
    {
        json.WriteStartObject("signals");
        foreach (string mask in (string[])["SigBlk", "SigIgn", "SigCgt"])
            json.WriteString(mask, status[mask]);
        json.WriteEndObject();
    }

    private static void WriteLimits(Utf8JsonWriter json)
    {
        json.WriteStartObject("limits");
        foreach (string line in File.ReadLines("/proc/self/limits").Skip(1))
        {
            // Fixed columns: 26 for the name, 21 each for soft and hard.
            json.WriteStartArray(line[..26].Trim());
            json.WriteStringValue(line[26..47].Trim());
            json.WriteStringValue(line[47..68].Trim());
            json.WriteEndArray();
        }
        json.WriteEndObject();
    }

    private static void WriteEnvironment(Utf8JsonWriter json)
    {
        Dictionary<string, string> all = [];
        foreach (System.Collections.DictionaryEntry entry in Environment.GetEnvironmentVariables())
            all[(string)entry.Key] = (string?)entry.Value ?? "";
        json.WriteStartObject("protocol");
        foreach ((string name, string value) in all.OrderBy(e => e.Key, StringComparer.Ordinal).Where(e => IsProtocol(e.Key)))
            json.WriteString(name, value);
        json.WriteEndObject();
        json.WriteStartObject("environment");
        foreach ((string name, string value) in all.OrderBy(e => e.Key, StringComparer.Ordinal))
            json.WriteString(name, value);
        json.WriteEndObject();
    }

    private static void WriteDescriptors(Utf8JsonWriter json)
    {
        json.WriteStartArray("descriptors");
        foreach (int number in Directory.GetFileSystemEntries("/proc/self/fd").Select(p => Integer(Path.GetFileName(p))).Order())
        {
            // The descriptor of the listing itself is closed by now.
            if (new FileInfo($"/proc/self/fd/{number}").LinkTarget is not { } target)
                continue;
            WriteDescriptor(json, number, target);
        }
        json.WriteEndArray();
    }

    private static void WriteDescriptor(Utf8JsonWriter json, int number, string target)
    {
        Dictionary<string, string> info = Fields($"/proc/self/fdinfo/{number}");
        int flags = Convert.ToInt32(info["flags"], 8);
        bool isCloexec = (flags & 0x80000) != 0;
        json.WriteStartObject();
        json.WriteNumber("number", number);
        json.WriteString("target", target);
        json.WriteString("access", (flags & 3) switch { 0 => "read", 1 => "write", _ => "read-write" });
        json.WriteBoolean("inherited", !isCloexec);
        json.WriteBoolean("nonblocking", (flags & 0x800) != 0);
        json.WriteBoolean("append", (flags & 0x400) != 0);
        json.WriteBoolean("path_only", (flags & 0x200000) != 0);
        json.WriteNumber("position", long.Parse(info["pos"], CultureInfo.InvariantCulture));
        if (target.StartsWith("socket:", StringComparison.Ordinal))
        {
            json.WriteStartObject("socket");
            json.WriteNumber("domain", Descriptors.Option(number, Libc.SO_DOMAIN));
            json.WriteNumber("type", Descriptors.Option(number, Libc.SO_TYPE));
            json.WriteBoolean("listening", Descriptors.Option(number, Libc.SO_ACCEPTCONN) == 1);
            json.WriteString("address", Descriptors.Address(number));
            json.WriteEndObject();
        }
        json.WriteEndObject();
    }

    private static void WriteWords(Utf8JsonWriter json, string name, IEnumerable<string> words)
    {
        json.WriteStartArray(name);
        foreach (string word in words)
            json.WriteStringValue(word);
        json.WriteEndArray();
    }

    private static unsafe int ParentDeathSignal()
    {
        int signal = -1;
        return Libc.prctl(Libc.PR_GET_PDEATHSIG, &signal, 0, 0, 0) == 0 ? signal : -1;
    }

    private static bool IsProtocol(string name) => Prefixes.Any(p => name.StartsWith(p, StringComparison.Ordinal));

    private static Dictionary<string, string> Status() => Fields("/proc/self/status");

    private static Dictionary<string, string> Fields(string path) =>
        File.ReadLines(path)
            .Select(l => l.Split(':', 2))
            .Where(p => p.Length == 2)
            .DistinctBy(p => p[0])
            .ToDictionary(p => p[0], p => p[1].Trim());

    private static int Integer(string text) => int.Parse(text, CultureInfo.InvariantCulture);
}
