using System.IO.MemoryMappedFiles;
using System.Net.Sockets;
using System.Text.RegularExpressions;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.Client.Tests;

/// <summary>The examples of docs/client.md stand here as they stand there, so that they compile; and each is found here again.</summary>
public sealed partial class DocumentTests
{
    [Fact]
    public void EveryExampleIsCompiled()
    {
        string document = Read("docs/client.md");
        string here = Flat(Read("tests/Launchd.Client.Tests/DocumentTests.cs"));
        Dictionary<string, string> samples = new()
        {
            [""] = here,
            ["web"] = Flat(Read("samples/web/Program.cs")),
            ["chat"] = Flat(Read("samples/chat/Program.cs")),
        };
        Match[] examples = Example().Matches(document).ToArray();

        Assert.True(examples.Length >= 6, $"{examples.Length} examples");
        Assert.Equal(examples.Length, document.Split("```csharp").Length - 1);
        foreach (Match example in examples)
            Assert.Contains(Flat(example.Groups["text"].Value), samples[example.Groups["sample"].Value], StringComparison.Ordinal);
    }

    [Fact]
    public void AnExampleThatIsNotHere_IsFound() =>
        Assert.DoesNotContain(Flat("client.Notify" + "Reedy();"), Flat(Read("tests/Launchd.Client.Tests/DocumentTests.cs")));

    [GeneratedRegex("^```csharp example=?(?<sample>web|chat)?\n(?<text>.*?)^```$", RegexOptions.Multiline | RegexOptions.Singleline)]
    private static partial Regex Example();

    private static string Read(string path) => File.ReadAllText(Path.Combine(Repository.Root, path));

    private static string Flat(string text) => string.Join('\n', text.Split('\n').Select(l => l.Trim()).Where(l => l.Length > 0));

    /// <summary>Compiled, and called by nobody: what the examples do is tested elsewhere.</summary>
    internal static class Examples
    {
        public static async Task ByHand(CancellationToken cancellation)
        {
            await using LaunchdClient client = LaunchdClient.FromEnvironment();

            if (client.Find("http") is { } http)
            {
                using Socket listener = http.TakeSocket();
                client.NotifyReady("serving");
                using Socket connection = await listener.AcceptAsync(cancellation);
            }
        }

        public static async Task Ask(LaunchdClient client, CancellationToken cancellation)
        {
            using NamedDescriptor ring = await client.RequestAsync("cache", "ring", cancellation: cancellation);
            using MemoryMappedFile memory = ring.TakeMemory();
        }

        public static async Task Watch(LaunchdClient client, CancellationToken cancellation)
        {
            await foreach (LaunchdEvent happened in await client.WatchAsync(cancellation))
            {
                if (happened is DrainAsked drain)
                    Console.WriteLine($"{drain.TimeLeft} left");
            }
        }

        public static async Task Send(CancellationToken cancellation)
        {
            (Socket here, Socket there) = DescriptorSocket.CreatePair();
            using FileDescriptor memory = FileDescriptor.CreateMemory("shared", 4096);
            await here.SendDescriptorsAsync("memory"u8.ToArray(), [memory], cancellation);
            using DescriptorMessage message = await there.ReceiveDescriptorsAsync(new byte[64], mostDescriptors: 1, cancellation);
            using FileDescriptor received = message.Take(0);
        }

        public static async Task Process(int pid, CancellationToken cancellation)
        {
            using PidFd process = PidFd.Open(pid);
            using FileDescriptor taken = process.GetDescriptor(3);
            await process.WaitForExitAsync(cancellation);
        }
    }
}
