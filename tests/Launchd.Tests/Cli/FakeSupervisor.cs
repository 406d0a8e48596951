using System.Collections.Concurrent;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Launchd.Cli.Parsing;
using Launchd.Cli.Surroundings;
using Launchd.Control;

namespace Launchd.Tests.Cli;

/// <summary>A supervisor's control socket in a directory of its own, which answers each call as the test says.</summary>
internal sealed class FakeSupervisor : IDisposable
{
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly ConcurrentBag<Socket> _connections = [];
    private readonly Func<ControlCall, Connection, bool> _answer;

    /// <param name="baseDirectory">Where its runtime directory is made.</param>
    /// <param name="name">The runtime directory's name.</param>
    /// <param name="answer">Answers one call; false: closes the connection.</param>
    public FakeSupervisor(string baseDirectory, string name, Func<ControlCall, Connection, bool> answer)
    {
        _answer = answer;
        RuntimeDirectory = Directory.CreateDirectory(Path.Combine(baseDirectory, name)).FullName;
        _listener.Bind(new UnixDomainSocketEndPoint(Path.Combine(RuntimeDirectory, "control.sock")));
        _listener.Listen();
        new Thread(AcceptAll) { IsBackground = true }.Start();
    }

    public string RuntimeDirectory { get; }
    public ConcurrentQueue<ControlCall> Calls { get; } = [];

    public void Dispose()
    {
        _listener.Dispose();
        foreach (Socket connection in _connections)
            connection.Dispose();
    }

    private void AcceptAll()
    {
        try
        {
            while (true)
            {
                Socket connection = _listener.Accept();
                _connections.Add(connection);
                new Thread(() => Serve(connection)) { IsBackground = true }.Start();
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // The test is over.
        }
    }

    private void Serve(Socket socket)
    {
        try
        {
            using NetworkStream stream = new(socket, ownsSocket: true);
            List<byte> message = [];
            Connection connection = new(stream);
            for (int b = stream.ReadByte(); b >= 0; b = stream.ReadByte())
            {
                if (b != 0)
                {
                    message.Add((byte)b);
                    continue;
                }
                ControlCall call = JsonSerializer.Deserialize(message.ToArray(), ControlJson.Default.ControlCall)!;
                message.Clear();
                Calls.Enqueue(call);
                if (!_answer(call, connection))
                    return;
            }
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException)
        {
            // The client has gone.
        }
    }

    /// <summary>The server's end of one connection.</summary>
    internal sealed class Connection(Stream stream)
    {
        public bool Send<T>(T reply, JsonTypeInfo<T> type, bool continues = false)
        {
            ControlAnswer answer = new(JsonSerializer.SerializeToElement(reply, type), Continues: continues);
            return SendText(JsonSerializer.Serialize(answer, ControlJson.Default.ControlAnswer) + "\0");
        }

        public bool Refuse(string error, ErrorDetail detail)
        {
            ControlAnswer answer = new(JsonSerializer.SerializeToElement(detail, ControlJson.Default.ErrorDetail), error);
            return SendText(JsonSerializer.Serialize(answer, ControlJson.Default.ControlAnswer) + "\0");
        }

        public bool SendText(string text)
        {
            stream.Write(Encoding.UTF8.GetBytes(text));
            return true;
        }
    }
}

/// <summary>A directory for one test, and the command run inside this process against what is in it.</summary>
internal sealed class CliHarness : IDisposable
{
    private readonly Dictionary<string, string> _environment = [];
    private readonly List<FakeSupervisor> _supervisors = [];
    private readonly CapturedText _output = new();

    public CliHarness() => BaseDirectory = Directory.CreateTempSubdirectory("lcs-").FullName;

    public string BaseDirectory { get; }
    public string WorkingDirectory => Directory.CreateDirectory(Path.Combine(BaseDirectory, ".here")).FullName;
    public CancellationTokenSource Interruption { get; } = new();

    /// <summary>Columns of the terminal; null: the output is a pipe.</summary>
    public int? Columns { get; init; }
    public bool HasColour { get; init; }
    public TimeSpan AnswerTimeout { get; init; } = TimeSpan.FromSeconds(60);
    public TextWriter? OutputInstead { get; init; }
    public IReadOnlyList<Finding>? Findings { get; init; }

    /// <summary>What the last run has written so far.</summary>
    public string Output => _output.ToString();

    public FakeSupervisor Supervise(Func<ControlCall, FakeSupervisor.Connection, bool> answer, string name = "shop")
    {
        FakeSupervisor supervisor = new(BaseDirectory, name, answer);
        _supervisors.Add(supervisor);
        return supervisor;
    }

    public FakeSupervisor Supervise<T>(T reply, JsonTypeInfo<T> type, string name = "shop") =>
        Supervise((_, connection) => connection.Send(reply, type), name);

    /// <summary>Returns when the output is as wanted; fails when it does not become so.</summary>
    public void AwaitOutput(Predicate<string> isWanted) => _output.Await(isWanted);

    public void SetEnvironment(string name, string value) => _environment[name] = value;

    public CliResult Run(params string[] arguments)
    {
        _output.Clear();
        StringWriter error = new() { NewLine = "\n" };
        CliContext context = new()
        {
            Output = new Terminal
            {
                Writer = OutputInstead ?? _output, IsTerminal = Columns is not null, HasColour = HasColour,
                Size = () => (Columns ?? 80, 24),
            },
            Error = error,
            Environment = name => _environment.GetValueOrDefault(name),
            WorkingDirectory = WorkingDirectory,
            BaseDirectories = [BaseDirectory],
            LocalTime = moment => moment.UtcDateTime,
            Interruption = Interruption,
            AnswerTimeout = AnswerTimeout,
            Findings = Findings is null ? null : () => Findings,
        };
        int code = CommandLine.Run(arguments, context);
        return new CliResult(code, _output.ToString(), error.ToString());
    }

    public void Dispose()
    {
        foreach (FakeSupervisor supervisor in _supervisors)
            supervisor.Dispose();
        Interruption.Dispose();
        Directory.Delete(BaseDirectory, recursive: true);
    }
}

/// <summary>What a run of the command left behind.</summary>
internal sealed record CliResult(int Code, string Output, string Error);
