using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Launchd.AcceptanceTests.Support;

namespace Launchd.Client.Tests.Support;

/// <summary>A ClientProbe that does one step, and the socket to it. Ends when disposed.</summary>
internal sealed class OtherProcess : IAsyncDisposable
{
    private readonly DirectoryInfo _folder;
    private readonly Command _command;
    private readonly Socket _socket;

    private OtherProcess(DirectoryInfo folder, Command command, Socket socket)
    {
        _folder = folder;
        _command = command;
        _socket = socket;
    }

    public int Pid => _command.Pid;

    /// <param name="words">The step and its arguments.</param>
    public static Task<OtherProcess> Start(params string[] words) => StartAs([], words);

    /// <summary>Started by another program, such as <c>setpriv</c>.</summary>
    public static async Task<OtherProcess> StartAs(string[] starter, params string[] words)
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("lcs-");
        string path = Path.Combine(folder.FullName, "s");
        File.SetUnixFileMode(
            folder.FullName, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute | UnixFileMode.OtherExecute);
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.OtherRead | UnixFileMode.OtherWrite);
        listener.Listen();
        string probe = Repository.Built("ClientProbe", "ClientProbe.dll");
        // Another program may change the user.
        string entered = starter.Length > 0 ? Repository.ForEverybody(probe) : probe;
        Command command = Command.Start([.. starter, Repository.DotnetPath, entered, path, .. words]);
        Task<Socket> accepting = listener.AcceptAsync();
        if (await Task.WhenAny(accepting, command.Exited) != accepting)
            throw new InvalidOperationException($"the probe ended with {await command.Exited}: {command.Errors}");
        return new OtherProcess(folder, command, await accepting);
    }

    public async Task Send(params SafeHandle[] descriptors) => await _socket.SendDescriptorsAsync("x"u8.ToArray(), descriptors);

    /// <summary>Its line, once it has done its step.</summary>
    public async Task<string> Answer()
    {
        using CancellationTokenSource deadline = new(Deadline.Generous);
        byte[] bytes = new byte[1_024];
        int length = await _socket.ReceiveAsync(bytes, deadline.Token);
        return length == 0
            ? throw new InvalidOperationException($"the probe ended: {_command.Errors}")
            : Encoding.UTF8.GetString(bytes, 0, length).TrimEnd('\n');
    }

    /// <summary>Ends it and waits until it was reaped.</summary>
    public async Task<int> End()
    {
        _socket.Shutdown(SocketShutdown.Both);
        return await _command.Exit();
    }

    public async ValueTask DisposeAsync()
    {
        _socket.Dispose();
        await _command.DisposeAsync();
        _folder.Delete(recursive: true);
    }
}
