using System.Collections.Immutable;
using System.Globalization;
using Launchd.Addresses;
using Launchd.Config.Sources;
using Launchd.Config.Values;
using Launchd.Model;
using FileAccess = Launchd.Model.FileAccess;

namespace Launchd.Config.Reading;

/// <summary>A definition of one service, or the sentence about what is wrong.</summary>
internal readonly record struct ActivationResult(SupervisorDefinition? Definition, string Problem);

/// <summary>
/// Makes the configuration of <c>activate</c>: one service, its sockets and files, without a file. The program runs as from a shell: it
/// inherits the whole environment, the terminal and the working directory.
/// </summary>
internal static class ActivationReader
{
    /// <summary>With files to watch a program that failed is not started again before something changes.</summary>
    private static readonly RateLimit OnceUntilChanged = new(1, TimeSpan.FromDays(365));

    private static readonly TimeSpan StopTimeout = TimeSpan.FromSeconds(10);

    /// <param name="options">As given.</param>
    /// <param name="source">The environment; relative paths start at the directory of its file.</param>
    /// <param name="runtimeDirectory">Private to this run.</param>
    public static ActivationResult Read(ActivationOptions options, ConfigSource source, string runtimeDirectory)
    {
        if (Contradiction(options) is { } contradiction)
            return new(null, contradiction);
        List<ListenAddress> addresses = [];
        foreach (string text in options.Listen)
        {
            AddressResult read = AddressParser.Parse(WithScheme(text, options), DirectoryOf(source));
            if (read.Address is null)
                return new(null, $"--listen: {read.Problem}" + (read.Hint is { } hint ? $"; {hint}" : ""));
            addresses.Add(read.Address);
        }
        if (MismatchOf(options, addresses) is { } mismatch)
            return new(null, mismatch);
        if (Name(options, addresses, out ImmutableArray<ListenerDefinition> listeners) is { } wrongName)
            return new(null, wrongName);
        List<FileDefinition> files = [];
        foreach (string text in options.Files)
        {
            if (ReadFile(text, DirectoryOf(source), files.Count, out FileDefinition? file) is { } wrongFile)
                return new(null, wrongFile);
            files.Add(file!);
        }
        if (ReadEnvironment(options, source, out ImmutableArray<EnvironmentVariable> environment) is { } wrongVariable)
            return new(null, wrongVariable);
        string program = Path.GetFileName(options.Command[0]);
        return new(new SupervisorDefinition
        {
            Name = "activate",
            ConfigPath = Path.Combine(DirectoryOf(source), "activate"),
            RuntimeDirectory = runtimeDirectory,
            // The activate command itself tells what happens; the log is left for defects.
            LogLevel = LogSeverity.Critical,
            Keeper = false,
            ShutdownTimeout = StopTimeout + TimeSpan.FromSeconds(5),
            Listeners = listeners,
            Files = [.. files],
            Services = [Service(
                options, new ServiceName(ServiceName.IsValid(program) ? program : "program"), listeners, files, environment, source)],
        }, "");
    }

    private static ServiceDefinition Service(ActivationOptions options, ServiceName name, ImmutableArray<ListenerDefinition> listeners,
        List<FileDefinition> files, ImmutableArray<EnvironmentVariable> environment, ConfigSource source) => new()
        {
            Name = name,
            Command = options.Command,
            Sockets = [.. listeners.Select(l => l.Key)],
            Files = [.. files.Select(f => f.Key)],
            Start = options.Accept ? StartKind.Connection : options.Now ? StartKind.Boot : StartKind.Demand,
            Execution = new Execution
            {
                Environment = environment, WorkingDirectory = DirectoryOf(source), ParentDeathSignal = SignalNumber.Term,
            },
            Input = options.Inetd ? InputSource.Socket.Value : InputSource.Null.Value,
            Output = options.Inetd ? OutputTarget.Socket.Value : OutputTarget.Inherit.Value,
            Error = OutputTarget.Inherit.Value,
            Restart = RestartKind.Never,
            StartLimit = options.Watch.IsEmpty ? RateLimit.Unlimited : OnceUntilChanged,
            Stop = StopPolicy.Default with { Timeout = StopTimeout },
            Update = UpdateKind.Replace,
        };

    private static string DirectoryOf(ConfigSource source) => Path.GetDirectoryName(source.FilePath)!;

    private static string? Contradiction(ActivationOptions options)
    {
        if (options.Command.Concat(options.Environment).Concat(options.Files).Any(t => t.Contains(Placeholders.Mark)))
            return "the character U+E000 cannot be passed on";
        if (options.Listen.IsEmpty)
            return "an address is missing: --listen 8080, for instance";
        if (options.Accept && options.Now)
            return "--accept starts the program for each connection and --now before any: give one of them";
        if (options.Accept && !options.Watch.IsEmpty)
            return "--accept starts the program anew for each connection: there is nothing to watch files for";
        if (options.Datagram && options.SeqPacket)
            return "--datagram and --seqpacket contradict each other: give one of them";
        if (options.Accept && options.Datagram)
            return "--accept needs connections, which datagram sockets do not have";
        if (options.Inetd && !options.Accept && options.Listen.Length > 1)
            return "--inetd passes one socket as standard input and output: give one --listen, or --accept";
        return options.Inetd && !options.Files.IsEmpty ? "--inetd passes nothing but the one socket: --file would be lost" : null;
    }

    private static string? MismatchOf(ActivationOptions options, List<ListenAddress> addresses) =>
        options.Accept && addresses.Find(a => !a.IsConnectionOriented) is { } other
            ? $"--accept needs connections, which {other} does not have"
            : null;

    /// <summary>
    /// What systemd-socket-activate takes as well: a port, HOST:PORT, a path, @name. A port alone listens for clients of this machine only.
    /// </summary>
    private static string WithScheme(string text, ActivationOptions options)
    {
        bool isName = text.StartsWith('/') || text.StartsWith("./", StringComparison.Ordinal) || text.StartsWith('@');
        if (isName)
            return (options.Datagram ? "unix-dgram:" : options.SeqPacket ? "unix-seqpacket:" : "unix:") + text;
        string scheme = options.Datagram ? "udp://" : "tcp://";
        if (int.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out _))
            return $"{scheme}127.0.0.1:{text}";
        bool isHostAndPort = text.LastIndexOf(':') is > 0 and int colon && text[(colon + 1)..].All(char.IsAsciiDigit)
            && (text[0] is '[' or '*' || char.IsAsciiDigit(text[0]) || text.StartsWith("localhost:", StringComparison.Ordinal));
        return isHostAndPort ? scheme + text : text;
    }

    private static string? Name(ActivationOptions options, List<ListenAddress> addresses, out ImmutableArray<ListenerDefinition> listeners)
    {
        listeners = [];
        string[]? names = options.Names?.Split(':');
        if (names is not null && names.Length != 1 && names.Length != addresses.Count)
        {
            return $"--fdname names {names.Length} sockets, but there {(addresses.Count == 1 ? "is" : "are")} {addresses.Count}: "
                + "give one name for all, or one for each";
        }
        if (names?.FirstOrDefault(n => n.Length > 255 || !n.All(c => c is >= ' ' and <= '~')) is not null)
            return "--fdname takes printable ASCII, at most 255 bytes a name";
        listeners = [.. addresses.Select((address, i) => new ListenerDefinition
        {
            Key = $"socket-{i + 1}",
            Name = names is null ? options.Accept ? $"socket-{i + 1}" : "unknown" : names[names.Length == 1 ? 0 : i],
            Addresses = [address],
            // For connections the number of instances at a time is limit enough; a program that ends at once is not started in a loop.
            TriggerLimit = options.Accept ? RateLimit.Unlimited : null,
            MaxConnectionCount = 256,
        })];
        return null;
    }

    /// <summary><c>[NAME=]PATH[:read|write|append|read-write]</c>.</summary>
    private static string? ReadFile(string text, string directory, int index, out FileDefinition? file)
    {
        file = null;
        string path = text;
        FileAccess access = FileAccess.Read;
        int colon = text.LastIndexOf(':');
        if (colon > 0)
        {
            FileAccess? said = text[(colon + 1)..] switch
            {
                "read" => FileAccess.Read,
                "write" => FileAccess.Write,
                "append" => FileAccess.Append,
                "read-write" => FileAccess.ReadWrite,
                _ => null,
            };
            path = said is null ? text : text[..colon];
            access = said ?? access;
        }
        int equals = path.IndexOf('=');
        string key = equals > 0 && !path[..equals].Contains('/') ? path[..equals] : $"file-{index + 1}";
        path = equals > 0 && !path[..equals].Contains('/') ? path[(equals + 1)..] : path;
        if (path.Length == 0 || !ServiceName.IsValid(key))
            return $"--file: write [NAME=]PATH[:read|write|append|read-write], not '{text}'";
        string full = Path.GetFullPath(path, directory);
        file = path.EndsWith('/')
            ? new FileDefinition.Directory { Key = key, DirectoryPath = full.TrimEnd('/') }
            : new FileDefinition.Opened
            {
                Key = key, FilePath = full, Access = access, CreateMode = access == FileAccess.Read ? null : 0b110_100_100,
            };
        return null;
    }

    private static string? ReadEnvironment(
        ActivationOptions options, ConfigSource source, out ImmutableArray<EnvironmentVariable> environment)
    {
        Dictionary<string, string> variables = new(source.Environment, StringComparer.Ordinal);
        environment = [];
        foreach (string text in options.Environment)
        {
            int equals = text.IndexOf('=');
            string name = equals < 0 ? text : text[..equals];
            if (name.Length == 0)
                return $"--setenv: write NAME=VALUE, not '{text}'";
            // A name alone asks for a variable that is inherited anyway.
            if (equals > 0)
                variables[name] = text[(equals + 1)..];
        }
        environment = [.. variables.Where(v => v.Key.Length > 0).Select(v => new EnvironmentVariable(v.Key, v.Value) { IsPassed = true })];
        return null;
    }
}
