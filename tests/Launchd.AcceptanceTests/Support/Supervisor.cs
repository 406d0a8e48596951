using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using Xunit;

namespace Launchd.AcceptanceTests.Support;

/// <summary>
/// One <c>launchd-cs run</c> in a scratch folder, as its operator sees it: exit code, output, verbs, and the stream of events, in which
/// tests wait for what they need. The configuration sets <c>runtime_directory = "run"</c>, which is relative to the file.
/// </summary>
internal sealed class Supervisor : IAsyncDisposable
{
    private const int Unreachable = 69;
    private const int SIGTERM = 15;
    private const string BirthsVariable = "LAUNCHD_AUDIT_BIRTHS";

    private readonly Scratch _scratch;
    private readonly Command _run;
    private readonly Dictionary<string, string> _environment;
    private readonly Task _following;
    private bool _isFolderLent;

    private Supervisor(
        Scratch scratch, string file, IEnumerable<string> options,
        IReadOnlyDictionary<string, string>? environment, IEnumerable<string>? program = null)
    {
        _scratch = scratch;
        _environment = new(environment ?? new Dictionary<string, string>())
        {
            ["LAUNCHD_RUNTIME_DIRECTORY"] = scratch.At("run"),
            ["DOTNET"] = Repository.DotnetPath,
            ["PROBE"] = Repository.Built("Probe", "probe.dll"),
            ["KESTREL"] = Repository.Built("KestrelApp", "KestrelApp.dll"),
        };
        _ = _environment.TryAdd(BirthsVariable, Births);
        _run = Command.Start([.. program ?? Repository.LaunchdCommand, "run", .. options, file], scratch.FolderPath, _environment);
        _following = Follow();
    }

    /// <summary>
    /// The environment of a supervisor that looks at none of its children. A look makes the supervisor the child's tracer: one that is
    /// traced itself, or may not trace, cannot; and one that is killed in the look leaves its child the SIGTRAP of its execve(2), which
    /// ends it.
    /// </summary>
    public static IReadOnlyDictionary<string, string> Unaudited { get; } = new Dictionary<string, string> { [BirthsVariable] = "" };

    /// <summary>Everything that <c>events --follow --json</c> has said so far.</summary>
    public Happenings<Happening> Events { get; } = new();

    /// <summary>What <c>run</c> itself printed.</summary>
    public Happenings<string> Output => _run.Output;

    public Happenings<string> Errors => _run.Errors;

    public Scratch Scratch => _scratch;

    /// <summary>The folder <c>Cases/NAME</c> with its <c>config.toml</c>.</summary>
    public static Supervisor StartCase(string name, Action<Scratch>? prepare = null, params string[] options)
    {
        Scratch scratch = new();
        scratch.CopyCase(name);
        prepare?.Invoke(scratch);
        return new Supervisor(scratch, scratch.At("config.toml"), options, environment: null);
    }

    /// <summary>A configuration by its text, to which the runtime directory is added.</summary>
    public static Supervisor StartText(string text, IReadOnlyDictionary<string, string>? environment = null, params string[] options)
    {
        Scratch scratch = new();
        return new Supervisor(scratch, scratch.Write("config.toml", WithRuntimeDirectory(text)), options, environment);
    }

    /// <summary>Another one with the same file, which is disposed before the one that was killed.</summary>
    public static Supervisor After(Supervisor killed, params string[] options) =>
        new(killed._scratch, killed._scratch.At("config.toml"), options, environment: null) { _isFolderLent = true };

    /// <summary>The same in a folder that something is done to first.</summary>
    public static Supervisor StartText(string text, Action<Scratch> prepare)
    {
        Scratch scratch = new();
        string file = scratch.Write("config.toml", WithRuntimeDirectory(text));
        prepare(scratch);
        return new Supervisor(scratch, file, [], environment: null);
    }

    /// <summary>The same, started by the words of another program, which execute what follows them.</summary>
    public static Supervisor StartTextBy(IReadOnlyList<string> around, string text, params string[] options) =>
        StartTextBy(around, text, environment: null, options);

    public static Supervisor StartTextBy(
        IReadOnlyList<string> around, string text, IReadOnlyDictionary<string, string>? environment, params string[] options)
    {
        Scratch scratch = new();
        string file = scratch.Write("config.toml", WithRuntimeDirectory(text));
        return new Supervisor(scratch, file, options, environment, [.. around, .. Repository.LaunchdCommand]);
    }

    /// <summary>The same as a user of this number, in a folder that is his. Root alone can, and births are not looked at.</summary>
    public static Supervisor StartTextAs(int user, string text)
    {
        Scratch scratch = new();
        string file = scratch.Write("config.toml", WithRuntimeDirectory(text));
        Dictionary<string, string> environment = new(Unaudited) { ["HOME"] = "/tmp" };
        string become = $"chown {user} . && exec setpriv --reuid={user} --regid={user} --clear-groups \"$@\"";
        return new Supervisor(scratch, file, [], environment, ["/bin/sh", "-c", become, "sh", .. Repository.LaunchdCommandForEverybody]);
    }

    /// <summary>Where the supervisor says of each child whether it had exactly the descriptors that it was to have.</summary>
    private string Births => _scratch.FolderPath + ".births";

    /// <summary>The process that was started: the supervisor, or what was put around it.</summary>
    public int StartedPid => _run.Pid;

    public Task<Happening> Event(string kind, string? service = null, int nth = 1) =>
        Events.First(e => e.Kind == kind && (service is null || e.Service == service), $"event '{kind}' of '{service}'", nth);

    /// <summary>Runs a verb against this supervisor and returns what it printed.</summary>
    public async Task<(int Code, string Output, string Errors)> Verb(params string[] words)
    {
        await using Command command = Command.Launchd(words, _scratch.FolderPath, _environment);
        int code = await command.Exit();
        return (code, command.Output.ToString(), command.Errors.ToString());
    }

    /// <summary>Where a socket of the configuration is bound, as <c>status --json</c> says.</summary>
    public async Task<IPEndPoint> Address(string socket)
    {
        _ = await Event("listener-opened");
        (_, string output, string errors) = await Verb("status", "--json");
        Assert.True(output.Length > 0, errors);
        using JsonDocument status = JsonDocument.Parse(output);
        JsonElement sockets = status.RootElement.GetProperty("sockets");
        JsonElement entry = sockets.EnumerateArray().First(s => s.GetProperty("socket").GetString() == socket);
        string address = entry.GetProperty("address").GetString() ?? "";
        return IPEndPoint.Parse(address[(address.LastIndexOf('/') + 1)..]);
    }

    /// <summary>
    /// Connects once, says something, closes its half and reads to the end. Never tries again: a held listener answers the first.
    /// </summary>
    public static Task<string> Ask(IPEndPoint address, string text) => Exchange(address, text, halfClose: true);

    /// <summary>The same with a Unix socket.</summary>
    public static Task<string> Ask(string path, string text) => Exchange(new UnixDomainSocketEndPoint(path), text, halfClose: true);

    /// <summary>One HTTP request over a connection of its own; the whole answer.</summary>
    public static Task<string> Get(IPEndPoint address, string path) =>
        Exchange(address, $"GET {path} HTTP/1.0\r\nHost: {address}\r\nConnection: close\r\n\r\n", halfClose: false);

    /// <summary>SIGTERM; then the exit code once nothing of it is left: no process, no socket.</summary>
    public async Task<int> Stop()
    {
        Assert.True(_run.Signal(SIGTERM), "the supervisor had ended already:\n" + _run.Errors);
        return await Ended();
    }

    /// <summary>Waits for the end of what was started, whatever it has left.</summary>
    public Task<int> Exited() => _run.Exit();

    /// <summary>Waits for an end that comes by itself; same checks.</summary>
    public async Task<int> Ended()
    {
        int code = await _run.Exit();
        await _following;
        Assert.Equal([], _scratch.Processes());
        Assert.Equal([], Sockets());
        AssertBirths();
        return code;
    }

    public async ValueTask DisposeAsync()
    {
        _ = _run.Signal(SIGTERM);
        await _run.EndWithin(TimeSpan.FromSeconds(20));
        // Where something else runs the supervisor, such as strace(1), that has ended, and the supervisor
        // goes on; and who follows its events with it.
        foreach ((int pid, _) in _scratch.Processes())
            Kill(pid);
        await _following;
        await _run.DisposeAsync();
        if (_isFolderLent)
            return;
        File.Delete(Births);
        _scratch.Dispose();
    }

    private static void Kill(int pid)
    {
        try
        {
            using System.Diagnostics.Process left = System.Diagnostics.Process.GetProcessById(pid);
            left.Kill();
        }
        catch (Exception gone) when (gone is ArgumentException or InvalidOperationException)
        {
            // It ended meanwhile.
        }
    }

    public static string WithRuntimeDirectory(string text)
    {
        const string Table = "[supervisor]\n";
        return text.Contains(Table, StringComparison.Ordinal)
            ? text.Replace(Table, Table + "runtime_directory = \"run\"\n", StringComparison.Ordinal)
            : "supervisor.runtime_directory = \"run\"\n" + text;
    }

    private static async Task<string> Exchange(EndPoint address, string text, bool halfClose)
    {
        using Socket client = new(address.AddressFamily, SocketType.Stream, ProtocolType.Unspecified);
        using CancellationTokenSource deadline = new(Deadline.Generous);
        await client.ConnectAsync(address, deadline.Token);
        await using NetworkStream stream = new(client);
        await stream.WriteAsync(Encoding.UTF8.GetBytes(text), deadline.Token);
        if (halfClose)
            client.Shutdown(SocketShutdown.Send);
        using StreamReader answer = new(stream);
        return await answer.ReadToEndAsync(deadline.Token);
    }

    private void AssertBirths()
    {
        if (_environment[BirthsVariable].Length == 0)
            return;
        string[] births = File.Exists(Births) ? File.ReadAllLines(Births) : [];
        Assert.DoesNotContain(births, b => b.StartsWith("unclean ", StringComparison.Ordinal));
        Assert.True(births.Length >= Events.All().Count(e => e.Kind == "spawned"), "a birth was not looked at");
    }

    private IEnumerable<string> Sockets() =>
        Directory.EnumerateFileSystemEntries(_scratch.FolderPath, "*", SearchOption.AllDirectories)
            .Where(p => p.EndsWith(".sock", StringComparison.Ordinal));

    /// <summary>
    /// Reads events as long as the supervisor runs. Before its control socket is there the verb says so at once, and is asked anew.
    /// </summary>
    private async Task Follow()
    {
        int code = Unreachable;
        // Once there were events, a second stream would tell them all again.
        while (_run.IsRunning && code == Unreachable && Events.All().Count == 0)
        {
            await using Command events = Command.Launchd(["events", "--follow", "--json"], _scratch.FolderPath, _environment);
            events.Output.Each(line => Events.Add(new Happening(JsonElement.Parse(line))));
            code = await events.Exited;
        }
        int end = await _run.Exited;
        Events.End($"the supervisor ended with {end}\n{_run.Output}\n{_run.Errors}");
    }
}
