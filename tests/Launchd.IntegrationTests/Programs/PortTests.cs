using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Programs;

/// <summary>A program that lets its listener go when it reloads, and listens elsewhere instead.</summary>
public sealed class PortTests
{
    /// <summary>In a network of its own, where any port is free and nobody else is reached.</summary>
    [TheoryWhenNetworkAndTool("sshd")]
    [InlineData("reload-service", "ssh")]
    [InlineData("signal", "SIGHUP", "ssh")]
    public async Task SshdGoesToItsOwnPortAtSighup_WhichIsTold(params string[] words)
    {
        string[] network = ["unshare", "--net", "--", "/bin/sh", "-c", "ip link set lo up && exec \"$@\"", "sh"];
        await using Supervisor supervisor = Supervisor.StartTextBy(network, """
            [sockets.ssh]
            listen = "tcp://127.0.0.1:0"

            [services.ssh]
            command = ["/bin/sh", "-c", '''
            mkdir -p /run/sshd && ssh-keygen -q -t ed25519 -N "" -f key && exec /usr/sbin/sshd -D -e -f /dev/null \
              -o HostKey="$$PWD/key" -o Port=2299 -o PidFile=none -o UsePAM=no''']
            sockets = ["ssh"]
            ready = "notify"
            reload = { signal = "SIGHUP" }

            [services.late]                 # is ready when the looks after the start are over
            command = ["/bin/sh", "-c", "sleep 3; echo begun; exec sleep 2147483647"]
            after = ["ssh"]
            ready = { output = "begun" }
            """);
        _ = await supervisor.Event("ready", "late");
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "listens-elsewhere");

        Assert.Equal(0, (await supervisor.Verb(words)).Code);

        Happening told = await supervisor.Event("listens-elsewhere", "ssh");
        Assert.EndsWith(":2299", told.Text("address"), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }
}
