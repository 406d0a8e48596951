using System.Net.Sockets;
using System.Text;
using Launchd.Cli.Surroundings;
using Launchd.Client;
using Launchd.Config.Loading;
using Launchd.Control;
using Launchd.Host.Listeners;
using Launchd.Linux.Paths;
using Tmds.Linux;
using Tomlyn.Parsing;
using Tomlyn.Syntax;

namespace Launchd.Cli.Connecting;

/// <summary>
/// Finds the supervisor a verb is meant for: by <c>--name</c>, else by <c>LAUNCHD_RUNTIME_DIRECTORY</c>, else the only one that runs,
/// else by the <c>launchd.toml</c> here.
/// </summary>
internal sealed class SupervisorFinder(CliContext context)
{
    private const string SocketFile = "control.sock";

    // Runtime directories of users that have none in /run; the user's number follows.
    private const string Fallback = "/tmp/launchd-cs-";

    private const string ConfigFile = "launchd.toml";

    private string? _denied;

    // What is to be said of a supervisor that is wanted, has died, and has a keeper.
    private string? _forsaken;

    /// <summary>Connects, or throws a <see cref="CliException"/> that says what to do.</summary>
    public ControlClient Connect(string? name)
    {
        if (name is not null)
            return ConnectNamed(name);
        if (context.Environment("LAUNCHD_RUNTIME_DIRECTORY") is { Length: > 0 } directory)
        {
            return TryConnect(directory, out string refusal) ?? throw Unreachable(
                $"no supervisor answers in {directory}, which LAUNCHD_RUNTIME_DIRECTORY names{refusal}",
                "start it with 'launchd-cs run', or unset the variable");
        }

        List<ControlClient> running = Running();
        if (running.Count == 1)
            return running[0];
        try
        {
            return ConnectByFile(running);
        }
        finally
        {
            foreach (ControlClient client in running)
                client.Dispose();
        }
    }

    /// <summary>Names of the supervisors that accept a connection, for completion.</summary>
    public IReadOnlyList<string> RunningNames()
    {
        List<ControlClient> running = Running();
        List<string> names = [.. running.Select(NameOf)];
        running.ForEach(client => client.Dispose());
        return names;
    }

    private static string NameOf(ControlClient client) => Path.GetFileName(Path.GetDirectoryName(client.SocketPath)!);

    private ControlClient ConnectNamed(string name)
    {
        if (!Model.ServiceName.IsValid(name))
        {
            throw new CliException(
                ExitCode.Usage, $"'{TerminalText.Escape(name)}' cannot be a supervisor's name: it has letters, digits and - _ . @");
        }
        string refusals = "";
        foreach (string directory in context.BaseDirectories.Select(b => Path.Combine(b, name)))
        {
            if (TryConnect(directory, out string refusal) is { } client)
                return client;
            refusals += refusal;
        }
        if (ReadFile() is { } file && file.Name == name && file.RuntimeDirectory is { } own && TryConnect(own, out _) is { } byFile)
            return byFile;

        // Whether others may be asked says nothing about this one.
        (string? denied, string? forsaken) = (_denied, _forsaken);
        IReadOnlyList<string> others = RunningNames();
        (_denied, _forsaken) = (denied, forsaken);
        string running = others.Count == 0 ? "" : $"; running: {string.Join(", ", others)}";
        throw Unreachable($"no supervisor named '{name}' is running{refusals}{running}", "start it with 'launchd-cs run FILE'");
    }

    private ControlClient ConnectByFile(List<ControlClient> running)
    {
        if (ReadFile() is { } file)
        {
            (_denied, _forsaken) = (null, null); // of others than the one that the file names
            IEnumerable<string> directories = file.RuntimeDirectory is { } own
                ? [own] : context.BaseDirectories.Select(b => Path.Combine(b, file.Name));
            string refusals = "";
            foreach (string directory in directories)
            {
                if (TryConnect(directory, out string refusal) is { } client)
                    return client;
                refusals += refusal;
            }
            if (running.Count == 0)
                throw Unreachable($"'{file.Name}' of {ConfigFile} is not running{refusals}", "start it with 'launchd-cs run'");
        }
        if (running.Count == 0)
            throw Unreachable("no supervisor is running", "start one with 'launchd-cs run FILE'");
        string names = string.Join(", ", running.Select(NameOf));
        throw new CliException(ExitCode.Usage, $"several supervisors are running ({names}); choose one with --name");
    }

    private List<ControlClient> Running()
    {
        List<ControlClient> running = [];
        foreach (string directory in context.BaseDirectories.SelectMany(SubDirectories))
        {
            if (TryConnect(directory, out _) is { } client)
                running.Add(client);
        }
        return running;
    }

    private static IEnumerable<string> SubDirectories(string directory)
    {
        try
        {
            return Directory.GetDirectories(directory).Order(StringComparer.Ordinal);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return []; // Absent, or of another user: no supervisor of ours is in there.
        }
    }

    private ControlClient? TryConnect(string directory, out string refusal)
    {
        refusal = "";
        string path = Path.Combine(directory, SocketFile);
        try
        {
            ControlClient client = ControlClient.Connect(path, context.Interrupted);
            // Anyone can make a directory in /tmp: a supervisor that answers there must be this user's or root's. Root may also ask a
            // user's supervisor, if it is in that user's directory.
            bool isTrusted = !directory.StartsWith(Fallback, StringComparison.Ordinal)
                || (client.PeerUid is { } uid && (uid == 0 || uid == (uint)LibC.geteuid()
                    || (LibC.geteuid() == 0 && directory.StartsWith($"{Fallback}{uid}/", StringComparison.Ordinal))));
            if (isTrusted)
                return client;
            client.Dispose();
            refusal = $" ({path} belongs to another user)";
        }
        catch (SocketException e) when (e.SocketErrorCode == SocketError.AccessDenied)
        {
            _denied = path; // Matters only if nothing else answers.
        }
        catch (SocketException)
        {
            // No such socket, or no process listens on it: no running supervisor.
            if (LockOwner.Of(directory) is { IsForsaken: true } owner)
                _forsaken = $"{TerminalText.Escape(directory)}: {owner.Remedy}";
        }
        catch (ArgumentException)
        {
            refusal = $" ({path} is too long for the address of a Unix socket)";
        }
        return null;
    }

    private (string Name, string? RuntimeDirectory)? ReadFile()
    {
        if (context.WorkingDirectory is not { } home)
            return null;
        string path = Path.Combine(home, ConfigFile);
        using FileDescriptor? file = Files.OpenToRead(path, out Errno refused);
        if (refused == Errno.ENOENT || refused == Errno.ENOTDIR)
            return null;
        if (file is null || Files.ReadBytes(file, DocumentLoader.MostFileBytes, out refused) is not { } bytes)
            throw new CliException(ExitCode.Failed, $"{TerminalText.Escape(path)} cannot be read: {refused.Text}");
        // Only two keys are read here; 'check' tells whether the rest is right.
        DocumentSyntax document = SyntaxParser.Parse(Encoding.UTF8.GetString(bytes), path, validate: false);
        string name = Text(document.KeyValues, "name") ?? Path.GetFileNameWithoutExtension(ConfigFile);
        string? directory = document.Tables.Where(t => t.Name?.ToString().Trim() == "supervisor")
            .Select(t => Text(t.Items, "runtime_directory")).FirstOrDefault();
        return (name, directory is null || directory.Contains('$') ? null : Path.Combine(home, directory));
    }

    private static string? Text(IEnumerable<KeyValueSyntax> items, string key) =>
        items.FirstOrDefault(i => i.Key?.ToString().Trim() == key)?.Value is StringValueSyntax text ? text.Value : null;

    private CliException Unreachable(string what, string advice) => _denied is null
        ? new CliException(
            ExitCode.Unreachable, _forsaken ?? $"{what}; {advice}{(context.PassedOver is { } other ? $"; {other}" : "")}")
        : new CliException(
            ExitCode.NotPermitted, $"{_denied} may not be opened by this user; run the command as the supervisor's user or as root");
}
