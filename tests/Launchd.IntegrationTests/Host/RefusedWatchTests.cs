using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Launchd.Interop;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// epoll(7) takes no descriptor: memory is short, or <c>fs.epoll.max_user_watches</c> of the user is used up. Here it never takes any,
/// because a filter answers the call in the kernel's place.
/// </summary>
[Collection(nameof(Supervisors))]
public sealed class RefusedWatchTests
{
    private const int ENOMEM = 12, ENOSPC = 28;

    [TheoryWhenRootAndTool("bwrap")]
    [InlineData(ENOSPC)]
    [InlineData(ENOMEM)]
    public async Task EverythingGoesOn_AndTheOperatorIsTold(int errno)
    {
        using TemporaryDirectory directory = new();
        string[] around = CallFilter.Refusing(SystemCallNumbers.epoll_ctl, errno, (1, Libc.EPOLL_CTL_ADD)).Around(directory);
        await using Supervisor supervisor = Supervisor.StartTextBy(
            around,
            """
            [services.says]
            command = ["sh", "-c", "echo spoken; echo >&3; exec sleep 2147483647"]
            ready = { descriptor = 3 }

            [services.notifies]
            command = ["sh", "-c", "systemd-notify --ready; exec sleep 2147483647"]
            ready = "notify"
            notify_access = "all"

            [services.woken]
            command = ["sleep", "2147483647"]
            sockets = ["door"]
            start = "demand"

            [sockets.door]
            listen = "tcp://127.0.0.1:0"
            """,
            Supervisor.Unaudited);

        _ = await supervisor.Event("ready", "says");
        _ = await supervisor.Event("ready", "notifies");
        _ = await supervisor.Output.First(line => line.Contains("spoken", StringComparison.Ordinal), "the output");
        using System.Net.Sockets.TcpClient client = new();
        await client.ConnectAsync(await supervisor.Address("door"));
        _ = await supervisor.Event("spawned", "woken");

        // Once of the supervisor's own, and once of the output of programs.
        static bool IsTold(string line) => line.Contains("the kernel watches no further descriptor", StringComparison.Ordinal);
        _ = await supervisor.Errors.First(IsTold, "both warnings", nth: 2);
        string[] said = [.. supervisor.Errors.All().Where(IsTold)];
        Assert.Equal(2, said.Length);
        Assert.Equal(errno == ENOSPC, said[0].Contains("raise fs.epoll.max_user_watches", StringComparison.Ordinal));
        using ControlSocket control = await ControlSocket.To(supervisor);
        Assert.Equal(1, await control.Counter("watches-refused"));
        (int ended, _, _) = await supervisor.Verb("shutdown");
        Assert.Equal(0, ended);
        Assert.Equal(0, await supervisor.Ended());
    }
}
