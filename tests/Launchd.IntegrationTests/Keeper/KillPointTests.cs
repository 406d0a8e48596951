using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Host;
using Xunit;
using Xunit.Abstractions;

namespace Launchd.IntegrationTests.Keeper;

/// <summary>
/// A supervisor does nothing that others see but by system calls. So strace(1) kills it at the first call of a kind, the next one at
/// the second, and so on, until what was asked for is over before that: wherever it died, another goes on, and nobody is lost or doubled.
/// </summary>
public sealed class KillPointTests(ITestOutputHelper output)
{
    private const int MostPoints = 100;

    /// <summary>Writes of the state, births, ends, and what comes and goes; with <c>LAUNCHD_LONG=1</c> all that matter.</summary>
    private static readonly string[] Calls = Environment.GetEnvironmentVariable("LAUNCHD_LONG") == "1"
        ? ["pwrite64", "clone", "waitid", "sendmsg", "recvmsg", "close", "epoll_ctl", "read", "timerfd_settime", "dup3"]
        : ["pwrite64", "clone", "waitid"];

    [NeedsNativeFact("strace", "python3")]
    public async Task ARestartGoesOn_WhereverTheSupervisorDies()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [supervisor]
            keeper = true
            [sockets.web]
            listen = "tcp://127.0.0.1:0"
            [services.web]
            command = ["python3", "-S", "-c", '''
            import os, socket
            s = socket.socket(fileno=3)
            n = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            n.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
            while True:
                c, _ = s.accept()
                c.sendall(str(os.getpid()).encode())
                c.close()
            ''', "the-web"]
            sockets = ["web"]
            ready = "notify"
            # A word that is lost is missed for good.
            ready_timeout = "1h"
            update = "overlap"
            rollout = { prove = "0s" }
            [services.still]
            command = ["sleep", "2147483647"]
            """,
            // Who is traced by strace(1) can trace none of its children.
            Supervisor.Unaudited);
        IPEndPoint web = await supervisor.Address("web");
        _ = await supervisor.Event("ready", "web");
        int still = (await supervisor.Event("ready", "still")).Pid;
        foreach (string call in Calls)
        {
            int point = 1;
            while (await DiesAt(call, point))
            {
                await GoesOn(call, point);
                Assert.InRange(++point, 1, MostPoints);
            }
            output.WriteLine($"{call}: {point - 1} points");
            Assert.True(point > 1, call);
            await GoesOn(call, point);
        }
        Assert.Equal(0, await supervisor.Stop());

        // Whether the supervisor came so far that it died.
        async Task<bool> DiesAt(string call, int nth)
        {
            int pid = await SupervisorOf(supervisor);
            await using Command trace = Command.Start(["strace", "-f", "-qq", "-o", "/dev/null", "-e", $"trace={call}", "-e",
                $"inject={call}:signal=SIGKILL:when={nth.ToString(CultureInfo.InvariantCulture)}",
                "-p", pid.ToString(CultureInfo.InvariantCulture)]);
            _ = await Deadline.Await(Task.Run(async () =>
            {
                while (!Living.IsTraced(pid))
                    await Task.Yield();
                return true;
            }), "strace(1)", trace.Errors.ToString!);
            // Its connection may die with the supervisor; the order stands.
            _ = await supervisor.Verb("restart", "web");
            _ = await Deadline.Await(Task.Run(async () =>
            {
                // What the answer does not wait for, such as the end of the former instance, has its points too.
                while (Living.IsAlive(pid) && !await IsWhole())
                    await Task.Yield();
                return true;
            }), "end of the restart", trace.Errors.ToString!);
            // What it traces goes on without it.
            await trace.EndWithin(TimeSpan.Zero);
            return !Living.IsAlive(pid);
        }

        async Task GoesOn(string call, int nth)
        {
            string what = $"after {call} {nth}";
            _ = await Deadline.Await(Task.Run(async () =>
            {
                while (!await IsWhole())
                    await Task.Yield();
                return true;
            }), what, () => supervisor.Errors.ToString());
            string server = await Supervisor.Ask(web, "");
            (int Pid, string Command)[] webs =
                [.. supervisor.Scratch.Processes().Where(p => p.Command.EndsWith(" the-web ", StringComparison.Ordinal))];
            Assert.True(webs.Length == 1, $"{what}: {string.Join(' ', webs)}");
            Assert.Equal(webs[0].Pid.ToString(CultureInfo.InvariantCulture), server);
            Assert.True(Living.IsAlive(still), what);
        }

        // Only what was there before the order, and what has taken its place.
        async Task<bool> IsWhole()
        {
            try
            {
                using ControlSocket control = await ControlSocket.To(supervisor.Scratch);
                JsonElement one = await control.Service("web"), other = await control.Service("still");
                return one.GetProperty("instances").GetArrayLength() == 1 && one.GetProperty("state").GetString() == "ready"
                    && other.GetProperty("instances")[0].GetProperty("pid").GetInt32() == still;
            }
            catch (Exception gone) when (gone is IOException or SocketException or InvalidOperationException)
            {
                return false;
            }
        }
    }

    private static async Task<int> SupervisorOf(Supervisor supervisor)
    {
        using ControlSocket control = await ControlSocket.To(supervisor.Scratch);
        return (await control.Call("Status")).GetProperty("supervisor").GetProperty("pid").GetInt32();
    }
}
