using System.Globalization;
using System.Net;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Host;
using Xunit;
using Xunit.Abstractions;

namespace Launchd.IntegrationTests.Keeper;

/// <summary>
/// The supervisor is killed again and again while clients ask, a service ends and is restarted all the time, and an operator replaces
/// another. <c>LAUNCHD_LONG=1</c> kills a thousand times, at random moments; <c>LAUNCHD_SEED</c> names other moments.
/// </summary>
public sealed class KillSoakTests(ITestOutputHelper output)
{
    private const int ClientCount = 8;

    [Fact]
    public async Task NoRequestIsLost_NoProgramEnds_NoLineComesTwice()
    {
        bool isLong = Environment.GetEnvironmentVariable("LAUNCHD_LONG") == "1";
        int kills = isLong ? 1000 : 4;
        Random random = new(int.TryParse(Environment.GetEnvironmentVariable("LAUNCHD_SEED"), out int seed) ? seed : 1);
        await using Supervisor supervisor = Supervisor.StartText("""
            [supervisor]
            keeper = true
            [sockets.http]
            listen = "tcp://127.0.0.1:0"
            [services.web]
            command = ["${DOTNET}", "${PROBE}", "--greet", "served ", "--echo", "--ready"]
            sockets = ["http"]
            ready = "notify"
            [services.replaced]
            command = ["/bin/sh", "-c", "echo begun; sleep 2147483646"]
            ready = { output = "begun" }
            update = "overlap"
            rollout = { prove = "100ms" }
            start_limit = { burst = 0 }
            [services.again]
            command = ["/bin/sh", "-c", "sleep 0.1; exit 3"]
            backoff = { initial = "20ms", max = "20ms" }
            start_limit = { burst = 0 }
            [services.still]
            command = ["sleep", "2147483647"]
            [services.counts]
            command = ["/bin/sh", "-c", "i=0; while :; do echo line $i; i=$((i+1)); sleep 0.02; done"]
            """,
            Supervisor.Unaudited);
        IPEndPoint http = await supervisor.Address("http");
        int web = (await supervisor.Event("ready", "web")).Pid;
        int still = (await supervisor.Event("ready", "still")).Pid, counts = (await supervisor.Event("ready", "counts")).Pid;
        using AskingClients clients = new(http, ClientCount);
        CancellationToken over = clients.Over;
        Task replacing = Task.Run(ReplaceOn);

        for (int kill = 1; kill <= kills; kill++)
        {
            // In the short form each supervisor serves before it dies; in the long form it dies at any moment, in its own start as well.
            if (isLong)
                over.WaitHandle.WaitOne(random.Next(200));
            Living.Kill(await Supervising(supervisor.StartedPid));
            if (!isLong)
                _ = await supervisor.WentOn(kill);
        }
        int died = supervisor.Errors.All().Count(l => l.Contains("was killed by SIGKILL", StringComparison.Ordinal));
        _ = await Supervising(supervisor.StartedPid);
        using ControlSocket control = await Answering(supervisor);
        await clients.End();
        await replacing;

        output.WriteLine($"{kills} kills, {clients.Asked} requests, {clients.Failures.Count} failed");
        Assert.Empty(clients.Failures);
        Assert.True(clients.Asked > ClientCount && died > 0);
        Assert.Equal((web, still, counts), (await control.PidOf("web"), await control.PidOf("still"), await control.PidOf("counts")));
        int[] lines = [.. supervisor.Output.All().Where(l => l.StartsWith("counts.0", StringComparison.Ordinal))
            .Select(l => int.Parse(l[(l.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture))];
        // A line that was read and not written yet dies with its reader; none comes twice or out of order.
        output.WriteLine($"{lines.Length} lines, {lines[^1] + 1 - lines.Length} missing");
        Assert.Equal(lines.Distinct().Order(), lines);
        // Every end of it is one that it chose.
        Assert.All(
            supervisor.Errors.All().Where(l => l.Contains("'again.0' (pid", StringComparison.Ordinal)),
            l => Assert.EndsWith("exited with 3", l, StringComparison.Ordinal));
        Assert.Equal(0, await supervisor.Stop());

        // Whether the verb's own connection survives is of no interest.
        async Task ReplaceOn()
        {
            while (!over.IsCancellationRequested)
                _ = await supervisor.Verb("restart", "replaced");
        }
    }

    /// <summary>The supervisor of a keeper, as soon as there is one.</summary>
    private static async Task<int> Supervising(int keeper)
    {
        while (true)
        {
            foreach (int child in Living.ChildrenOf(keeper))
            {
                if (Living.IsAlive(child) && NameOf(child) is "launchd-cs\n")
                    return child;
            }
            await Task.Yield();
        }
    }

    private static async Task<ControlSocket> Answering(Supervisor supervisor)
    {
        while (true)
        {
            try
            {
                ControlSocket control = await ControlSocket.To(supervisor.Scratch);
                _ = await control.Call("Status");
                return control;
            }
            catch (Exception gone) when (gone is IOException or System.Net.Sockets.SocketException)
            {
                // The next one is about to begin.
                await Task.Yield();
            }
        }
    }

    private static string NameOf(int pid)
    {
        try
        {
            return File.ReadAllText($"/proc/{pid}/comm");
        }
        catch (IOException)
        {
            return "";
        }
    }
}
