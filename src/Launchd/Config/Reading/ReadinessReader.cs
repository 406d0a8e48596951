using System.Collections.Immutable;
using System.Net;
using System.Text.RegularExpressions;
using Launchd.Config.Diagnostics;
using Launchd.Config.Tables;
using Launchd.Config.Toml;
using Launchd.Config.Values;
using Launchd.Model;

namespace Launchd.Config.Reading;

/// <summary>Reads <c>ready</c> and <c>health</c>.</summary>
internal static class ReadinessReader
{
    private const int MostDescriptorNumber = 1023;

    private const string Forms =
        "write \"spawned\", \"notify\", \"exited\" or a table with one of descriptor, http, tcp, unix, command, output";
    private static readonly string[] ProbeKeys = ["http", "tcp", "unix", "command"];
    private static readonly string[] ReadyKeys = ["descriptor", "http", "tcp", "unix", "command", "output"];
    private static readonly string[] HealthKeys = [.. ProbeKeys, "interval", "timeout", "failures"];

    /// <summary>The readiness as written, or null if the key is missing or wrong.</summary>
    public static Readiness? Read(TableReader table)
    {
        if (table.Take("ready") is not { } found)
            return null;
        if (found.Kind == TomlKind.String)
        {
            // Whoever writes a probe's name alone means the probe, and needs to be told what else it takes.
            if (ReadyKeys.Contains(found.Text, StringComparer.Ordinal))
            {
                table.Error(DiagnosticCode.WrongType, "ready", $"'{found.Text}' needs to be told what to look for",
                    $"write {{ {found.Text} = {ExampleOf(found.Text)} }}");
                return null;
            }
            return table.Choice<Readiness?>(
                "ready", null, ("spawned", Readiness.Spawned.Value), ("notify", Readiness.Notify.Value),
                ("exited", Readiness.Exited.Value));
        }
        if (found.Kind != TomlKind.Table)
        {
            table.WrongType("ready", found, "a string or a table", Forms);
            return null;
        }
        TableReader below = table.Below("ready", found);
        Readiness? readiness = null;
        if (below.IntOrNull("descriptor", 3, MostDescriptorNumber) is { } number)
            readiness = new Readiness.Descriptor(number);
        if (ReadPattern(below) is { } pattern)
            readiness = new Readiness.Output(pattern);
        if (ReadProbe(below) is { } probe)
            readiness = new Readiness.Probed(probe);
        CheckOne(table, "ready", below, ReadyKeys);
        below.ReportUnknown(ReadyKeys);
        return readiness;
    }

    public static HealthCheck? ReadHealth(TableReader table, HealthCheck? fallback)
    {
        if (table.Table("health", "write { http = \"http://127.0.0.1:8080/health\" }") is not { } below)
            return fallback;
        ProbeTarget? target = ReadProbe(below);
        TimeSpan shortest = TimeSpan.FromMilliseconds(1);
        TimeSpan interval = below.Duration("interval", fallback?.Interval ?? TimeSpan.FromSeconds(10), shortest);
        TimeSpan timeout = below.Duration("timeout", fallback?.Timeout ?? TimeSpan.FromSeconds(2), shortest);
        int failures = below.Int("failures", fallback?.FailureCount ?? 3, 1, 1000);
        CheckOne(table, "health", below, ProbeKeys);
        below.ReportUnknown(HealthKeys);
        return target is null ? fallback : new HealthCheck(target, interval, timeout, failures);
    }

    private static string ExampleOf(string key) => key switch
    {
        "descriptor" => "10",
        "http" => "\"http://127.0.0.1:8080/\"",
        "tcp" => "\"127.0.0.1:8080\"",
        "unix" => "\"/run/web.sock\"",
        "command" => "[\"program\", \"argument\"]",
        _ => "\"listening on\"",
    };

    private static void CheckOne(TableReader table, string key, TableReader below, string[] keys)
    {
        string[] there = [.. keys.Where(below.Has)];
        if (there.Length == 0)
            table.Error(DiagnosticCode.KeyMissing, key, $"needs one of {string.Join(", ", keys)}");
        else if (there.Length > 1)
            below.Error(DiagnosticCode.Contradiction, there[1], $"cannot stand beside '{there[0]}'");
    }

    private static ProbeTarget? ReadProbe(TableReader table)
    {
        if (table.Take("http") is { } http)
            return ReadHttp(table, http);
        if (table.Take("tcp") is { } tcp)
        {
            if (table.TextOf("tcp", tcp) is not { } text)
                return null;
            const string prefix = "tcp://";
            string address = text.StartsWith(prefix, StringComparison.Ordinal) ? text[prefix.Length..] : text;
            return EndPointOf(table, "tcp", tcp, address) is { } endPoint
                ? new ProbeTarget.Tcp(endPoint) { IsLocalhost = IsLocalhost(address) } : null;
        }
        if (table.Take("unix") is not null)
            return table.FullPath("unix", null) is { } path ? new ProbeTarget.Unix(path) : null;
        ImmutableArray<string> command = table.Command("command", [], PlaceholderUse.None);
        return command.IsEmpty ? null : new ProbeTarget.Command(command);
    }

    private static ProbeTarget.Http? ReadHttp(TableReader table, TomlValue found)
    {
        const string prefix = "http://";
        if (table.TextOf("http", found) is not { } url)
            return null;
        if (!url.StartsWith(prefix, StringComparison.Ordinal) || url.AsSpan().ContainsAnyInRange('\0', ' '))
        {
            string? hint = url.StartsWith("https://", StringComparison.Ordinal)
                ? "probe https with { tcp = … } or { command = [\"curl\", …] }"
                : "write \"http://127.0.0.1:8080/health\"";
            table.Error(DiagnosticCode.BadForm, "http", found, $"'{url}' is no URL of plain HTTP", hint);
            return null;
        }
        int slash = url.AsSpan(prefix.Length).IndexOfAny('/', '?');
        string authority = slash < 0 ? url[prefix.Length..] : url.Substring(prefix.Length, slash);
        string path = slash < 0 ? "/" : url[(prefix.Length + slash)..];
        bool hasPort = authority.LastIndexOf(':') > authority.LastIndexOf(']');
        if (EndPointOf(table, "http", found, hasPort ? authority : authority + ":80") is not { } endPoint)
            return null;
        int fragment = path.IndexOf('#');
        path = fragment < 0 ? path : path[..fragment];
        return new ProbeTarget.Http(endPoint, authority, path.StartsWith('/') ? path : "/" + path)
        {
            IsLocalhost = IsLocalhost(authority),
        };
    }

    private static bool IsLocalhost(string authority) =>
        authority == "localhost" || authority.StartsWith("localhost:", StringComparison.Ordinal);

    private static IPEndPoint? EndPointOf(TableReader table, string key, TomlValue found, string text)
    {
        (IPEndPoint? endPoint, AddressResult problem) = AddressParser.ParseEndPoint(text);
        if (endPoint is null)
            table.Error(problem.Code, key, found, problem.Problem, problem.Hint);
        return endPoint;
    }

    private static string? ReadPattern(TableReader table)
    {
        if (table.Take("output") is not { } found || table.NonEmpty("output", found) is not { } pattern)
            return null;
        if (pattern.Length > LinePattern.LongestLength)
        {
            table.Error(DiagnosticCode.OutOfRange, "output", found,
                $"the pattern has {pattern.Length} characters, more than {LinePattern.LongestLength}");
            return null;
        }
        try
        {
            // A pattern that can be matched in linear time only: a program's output must not be able to stop the supervisor.
            _ = LinePattern.Compile(pattern);
            return pattern;
        }
        catch (RegexParseException e)
        {
            table.Error(DiagnosticCode.BadForm, "output", found,
                $"is no regular expression: {LinePattern.Explain(e.Error)} "
                    + $"(at character {Math.Min(e.Offset + 1, pattern.Length)} of the pattern)");
        }
        catch (ArgumentException)
        {
            table.Error(DiagnosticCode.BadForm, "output", found, "is no regular expression");
        }
        catch (NotSupportedException)
        {
            table.Error(
                DiagnosticCode.BadForm, "output", found, "cannot be matched in bounded time",
                "do without look-around, back-references, atomic groups, and repetitions of many hundred");
        }
        return null;
    }
}
