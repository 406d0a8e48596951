using System.Net;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Processes;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// A start in the runtime directory of a supervisor that was killed without a keeper, beside the programs that it has left, where its state
/// is not to be believed.
/// </summary>
public sealed class LeftoverTests
{
    private const string Server = """
        import os, socket
        s = socket.socket(fileno=3)
        print("serves", flush=True)
        while True:
            c, _ = s.accept()
            c.sendall(str(os.getpid()).encode())
            c.close()
        """;

    [FactWhenTool("python3")]
    public async Task ProgramsThatWereLeftAreNamed_AndTakenOverWithTheirClients()
    {
        using Scratch scratch = new();
        IPEndPoint address = new(IPAddress.Loopback, LoopbackPort.Free());
        string file = scratch.Write("config.toml", $"""
            [supervisor]
            runtime_directory = "run"
            keeper = false

            [sockets.web]
            listen = "tcp://{address}"

            [services.web]
            command = ["python3", "-c", '''{Server}''']
            sockets = ["web"]
            """);
        await using Command first = Command.Launchd(["run", file], scratch.FolderPath);
        _ = await first.Output.First(l => l.Contains("serves", StringComparison.Ordinal), "the first program");
        int left = int.Parse(await Supervisor.Ask(address, ""), System.Globalization.CultureInfo.InvariantCulture);
        using ProcessHandle process = ProcessHandle.TryOpen(left)!;
        try
        {
            Living.Kill(first.Pid);
            string state = scratch.At(File.Exists(scratch.At("run/state")) ? "run/state" : "run/notify/state");
            byte[] whole = File.ReadAllBytes(state);
            // A refusal must leave behind what the next one needs.
            (string Why, Action Damage)[] cases =
            [
                ("its state cannot be used", () => File.WriteAllBytes(state, [.. whole.Select(b => (byte)(b ^ 0xff))])),
                ("it has left no state", () => File.Delete(state)),
            ];
            foreach ((string why, Action damage) in cases)
            {
                damage();
                await using Command second = Command.Launchd(["run", file], scratch.FolderPath);
                Assert.Equal(75, await second.Exit());
                string told = Assert.Single(second.Errors.All());
                Assert.Contains($"web (pid {left}, python3)", told, StringComparison.Ordinal);
                Assert.Contains(why, told, StringComparison.Ordinal);
                Assert.Contains("--take-over", told, StringComparison.Ordinal);
                Assert.Equal(left.ToString(System.Globalization.CultureInfo.InvariantCulture), await Supervisor.Ask(address, ""));
            }
            // It accepts nobody any more, and whoever waits in its queue is not lost.
            Assert.Equal(Errno.None, process.Signal(Living.SIGSTOP));
            Task<string> waits = Supervisor.Ask(address, "");
            await using Command third = Command.Launchd(["run", "--take-over", file], scratch.FolderPath);

            string server = await Deadline.Await(waits, "the answer", () => $"{third.Output}\n{third.Errors}");

            Assert.NotEqual(left.ToString(System.Globalization.CultureInfo.InvariantCulture), server);
            Living.AwaitEnd(process);
            _ = await third.Errors.First(l => l.Contains("1 of its processes still ran", StringComparison.Ordinal), "what was ended");
            Assert.True(third.Signal(Living.SIGTERM));
            Assert.Equal(0, await third.Exit());
            Assert.False(File.Exists(scratch.At("run/lock")));
        }
        finally
        {
            _ = process.Signal(Living.SIGKILL);
        }
    }
}
