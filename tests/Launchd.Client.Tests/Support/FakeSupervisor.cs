using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;
using Launchd.AcceptanceTests.Support;

namespace Launchd.Client.Tests.Support;

/// <summary>
/// The supervisor's end of a channel, played by the test: it reads what the client sends, byte for byte, and says what the test says.
/// </summary>
internal sealed class FakeSupervisor : IAsyncDisposable
{
    private readonly Socket _end;
    private readonly byte[] _buffer = new byte[70_000];

    private FakeSupervisor(Socket end, LaunchdClient client)
    {
        _end = end;
        Client = client;
    }

    public LaunchdClient Client { get; }

    public static FakeSupervisor Start(params (string Name, string Value)[] environment) => StartWith([], environment);

    public static FakeSupervisor StartWith(NamedDescriptor[] inheritedTaken, (string Name, string Value)[] environment)
    {
        (Socket first, Socket second) = DescriptorSocket.CreatePair();
        using (second)
        {
            var channel = new FileDescriptor(Kernel.Duplicate(second.SafeHandle));
            Dictionary<string, string> variables = environment.ToDictionary(v => v.Name, v => v.Value);
            return new FakeSupervisor(first, new LaunchdClient(inheritedTaken, channel, name => variables.GetValueOrDefault(name)));
        }
    }

    /// <summary>The next packet, as text; its descriptors are closed.</summary>
    public async Task<string> Next()
    {
        (string text, DescriptorMessage message) = await NextWithDescriptors();
        message.Dispose();
        return text;
    }

    /// <summary>The next packet; the caller disposes the descriptors.</summary>
    public async Task<(string Text, DescriptorMessage Message)> NextWithDescriptors()
    {
        using CancellationTokenSource deadline = new(Deadline.Generous);
        DescriptorMessage message = await _end.ReceiveDescriptorsAsync(_buffer, cancellation: deadline.Token);
        return (Encoding.UTF8.GetString(_buffer, 0, message.Length), message);
    }

    public async Task Say(string packet, params SafeHandle[] descriptors)
    {
        using CancellationTokenSource deadline = new(Deadline.Generous);
        await _end.SendDescriptorsAsync(Encoding.UTF8.GetBytes(packet), descriptors, deadline.Token);
    }

    /// <summary>Reads one request, which must be this, and answers it.</summary>
    public async Task Answer(string expected, string answer, params SafeHandle[] descriptors)
    {
        Xunit.Assert.Equal(expected, await Next());
        await Say(answer, descriptors);
    }

    /// <summary>The supervisor goes away.</summary>
    public void HangUp() => _end.Dispose();

    public async ValueTask DisposeAsync()
    {
        await Client.DisposeAsync();
        _end.Dispose();
    }
}
