using System.Text;
using System.Text.Json;
using Launchd.Client;
using Launchd.Client.Channel;
using Launchd.Client.Interop;
using Launchd.Config.Diagnostics;
using Launchd.Config.Loading;
using Launchd.Config.Sources;
using Launchd.Control;
using Launchd.Core.Instances;
using Launchd.Host.Channel;
using Launchd.Host.Instances;
using Launchd.Host.Operators;
using Launchd.Host.Provisioning;
using Launchd.Host.Startup;
using Launchd.Keeper;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Processes;
using Launchd.Linux.Sockets;

namespace Launchd.Fuzz;

/// <summary>The readers of what others write, each as a function of bytes that must end without an exception, whatever they are.</summary>
internal static class Targets
{
    public static IReadOnlyDictionary<string, Action<byte[]>> All { get; } =
        new SortedDictionary<string, Action<byte[]>>(StringComparer.Ordinal)
    {
        ["channel-answer"] = ChannelAnswer,
        ["channel-request"] = bytes => _ = ChannelRequest.Read(bytes, out _),
        ["control"] = Control,
        ["environment"] = bytes => _ = new EnvironmentFileParser(bytes, []).Run(),
        ["keeper"] = Keeper,
        ["notification"] = bytes => _ = Notification.Parse(bytes),
        ["proc"] = Proc,
        ["program"] = bytes => _ = ProgramFile.FaultOfHead(bytes.AsSpan(..Math.Min(bytes.Length, ProgramFile.HeadBytes)), user: null),
        ["sock-diag"] = bytes => _ = SockDiag.IsOver(bytes, LooksAt, isDump: bytes.Length % 2 == 0, out _),
        ["toml"] = Toml,
    };

    private static void Toml(byte[] bytes)
    {
        ConfigResult result = ConfigReader.Read(new ConfigSource
        {
            FilePath = OneFile.Path,
            Environment = new Dictionary<string, string> { ["A"] = "a" },
            // Root reads more strictly.
            UserId = bytes.Length % 2 == 0 ? 0u : 1000u,
            Files = new OneFile(bytes),
        });
        if (result.Definition is null != result.Diagnostics.Any(d => d.IsError))
            throw new InvalidOperationException("there is a definition if and only if there is no error");
        string printed = DiagnosticPrinter.Print(result.Diagnostics) + string.Concat(result.Diagnostics.Select(DiagnosticPrinter.OneLine));
        if (printed.Any(c => char.IsControl(c) && c != '\n'))
            throw new InvalidOperationException("a control character of the file is printed");
        _ = DiagnosticPrinter.Print(result.Diagnostics, withColour: true);
    }

    private static void Keeper(byte[] bytes)
    {
        for (int descriptors = 0; descriptors < 3; descriptors++)
        {
            if (!KeeperMessage.TryRead(bytes, descriptors, out KeeperMessage message))
                continue;
            if (descriptors != (KeeperMessage.HasDescriptor(message.Kind) ? 1 : 0))
                throw new InvalidOperationException("a message has as many descriptors as its kind");
            bool isRead = message.Kind switch
            {
                KeeperMessageKind.Store or KeeperMessageKind.Drop or KeeperMessageKind.Held => KeeperMessage.IsName(message.Name),
                KeeperMessageKind.Reap => message.Pid > 0,
                KeeperMessageKind.Ending => message.ExitCode is >= 0 and <= 255,
                KeeperMessageKind.Ended => message.End.Pid > 0,
                KeeperMessageKind.Full => message.Count > 0,
                KeeperMessageKind.RestoreEnd => message.History.LastDeath.Pid == message.History.LastPid,
                _ => true,
            };
            if (!isRead)
                throw new InvalidOperationException($"a {message.Kind} that is none");
        }
    }

    private static void ChannelAnswer(byte[] bytes)
    {
        using ChannelPacket? packet = ChannelPacket.Read(bytes, new ReceivedPart(bytes.Length, IsCut: false, default));
        if (packet is null)
            return;
        _ = packet.Text("name");
        _ = packet.Number("deadline");
        foreach (JsonElement entry in packet.Entries())
        {
            _ = ChannelPacket.TextOf(entry, "name");
            try
            {
                packet.Take(entry).Dispose();
            }
            catch (LaunchdException)
            {
                // No descriptor came: that is what it says.
            }
        }
    }

    private static void Control(byte[] bytes)
    {
        if (ControlConnection.Parse(bytes, out ControlCall call) is not null || call.Parameters is not { } parameters)
            return;
        Read(() => parameters.Deserialize(ControlJson.Default.ServicesRequest));
        Read(() => parameters.Deserialize(ControlJson.Default.FilterRequest));
        Read(() => parameters.Deserialize(ControlJson.Default.FetchRequest));
        Read(() => parameters.Deserialize(ControlJson.Default.LogsRequest));
        Read(() => parameters.Deserialize(ControlJson.Default.EventsRequest));
        Read(() => parameters.Deserialize(ControlJson.Default.ReloadRequest));
        Read(() => parameters.Deserialize(ControlJson.Default.PlanRequest));

        // The connection answers this exception with a refusal, and no other.
        static void Read(Func<object?> parameters)
        {
            try
            {
                _ = parameters();
            }
            catch (JsonException)
            {
            }
        }
    }

    private static void Proc(byte[] bytes)
    {
        string text = Encoding.UTF8.GetString(bytes);
        _ = ProcessFacts.Parse(bytes);
        _ = InheritedFileLimit.Parse(text);
        _ = NamedProcess.PidOf(text);
        List<EpollEntry> found = [];
        ReadOnlySpan<byte> rest = bytes;
        _ = EpollEntry.Scan(rest, _ => true, most: 16, found);
        if (found.Count > 16)
            throw new InvalidOperationException("more than were asked for");
    }

    private static bool LooksAt(ReadOnlySpan<byte> body) =>
        UnixDiagnostics.PlaceOf(body) is { Length: 13 } | UnixDiagnostics.QueueOf(body) is { udiag_rqueue: 77 };

    /// <summary>A file system of one file, which everybody may trust.</summary>
    private sealed class OneFile(byte[] bytes) : IConfigFiles
    {
        public const string Path = "/etc/shop/web.toml";

        public ConfigFileContent Read(string absolutePath, int mostBytes) =>
            absolutePath == Path ? new ConfigFileContent(bytes[..Math.Min(bytes.Length, mostBytes)], null) : ConfigFileContent.Missing;

        public IReadOnlyList<string> List(string absolutePattern) =>
            System.IO.Enumeration.FileSystemName.MatchesSimpleExpression(absolutePattern, Path, ignoreCase: false) ? [Path] : [];

        public string? FindDistrust(string absolutePath) => null;
    }
}
