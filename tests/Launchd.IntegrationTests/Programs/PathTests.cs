using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Host;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Paths;
using Xunit;
using static Tmds.Linux.LibC;

namespace Launchd.IntegrationTests.Programs;

/// <summary>
/// Programs that take the path of the Unix socket that they were given for theirs: php-fpm and Twisted remove it when they end, stunnel
/// also when it reloads, and Twisted gives it another mode and shuts the socket down for everybody.
/// </summary>
public sealed class PathTests
{
    private static readonly byte[] Hello = Encoding.ASCII.GetBytes("GET /hello HTTP/1.0\r\n\r\n");

    [FactWhenTool("php-fpm8.2")]
    public async Task PhpFpmRemovesItAtItsEnd_AndItLeadsToTheSameSocketAgain()
    {
        await using Supervisor supervisor = Start(Php, update: "replace");
        _ = await supervisor.Event("ready", "web");
        ulong inode = Inode(supervisor);

        Assert.Equal(0, (await supervisor.Verb("restart", "web")).Code);

        Happening healed = await supervisor.Event("listener-healed");
        Assert.Equal(("its path was removed", "linked back"), (healed.Text("fault"), healed.Text("remedy")));
        Assert.Equal(["web.0"], healed.Texts("holders"));
        Assert.Equal(inode, Inode(supervisor));
        Assert.Contains("pong", await SteadyClients.Ask(Path(supervisor), Ping), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenMountsAndTool("php-fpm8.2")]
    public async Task PhpFpmCannotRemoveAPathThatIsPinned_AndNoClientIsLost()
    {
        await using Supervisor supervisor = Start(Php, "pin_path = true");
        _ = await supervisor.Event("ready", "web");
        await using (SteadyClients clients = SteadyClients.Begin(4, Path(supervisor), Ping, "pong"))
        {
            for (int nth = 1; nth <= 2; nth++)
            {
                Assert.Equal(0, (await supervisor.Verb("restart", "web")).Code);
                _ = await supervisor.Event("exited", "web", nth);
            }
            await clients.AssertNoneFailed();
        }
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Kind == "listener-healed" && e.Text("fault")!.Contains("path"));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("twistd3")]
    public async Task TwistedShutsItDownAtItsEnd_AndTheNextOnesGetANewOneAtTheSamePath()
    {
        await using Supervisor supervisor = Start(Twisted);
        _ = await supervisor.Event("ready", "web");
        Assert.Equal(("its mode was changed from 0600 to 0666", "put back"), await supervisor.Healed("its mode"));

        Assert.Equal(0, (await supervisor.Verb("restart", "web")).Code);

        Assert.Equal(("its path was removed", "linked back"), await supervisor.Healed("its path"));
        Assert.Equal(("it was shut down", "made anew"), await supervisor.Healed("it was shut down"));
        // The second one holds the dead socket, and is replaced by a third. Of those who ask meanwhile nobody is lost.
        Assert.Contains("hello", await SteadyClients.Ask(Path(supervisor), Hello), StringComparison.Ordinal);
        _ = await supervisor.Event("exited", "web", nth: 2);
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenMountsAndTool("twistd3")]
    public async Task TwistedShutsNothingDownThatIsPinned_AndNoClientIsLost()
    {
        await using Supervisor supervisor = Start(Twisted, "pin_path = true");
        _ = await supervisor.Event("ready", "web");
        await using (SteadyClients clients = SteadyClients.Begin(4, Path(supervisor), Hello, "hello"))
        {
            Assert.Equal(0, (await supervisor.Verb("restart", "web")).Code);
            _ = await supervisor.Event("exited", "web");
            await clients.AssertNoneFailed();
        }
        Assert.DoesNotContain(supervisor.Events.All(), e => e.Text("fault") is "its path was removed" or "it was shut down");
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("stunnel4")]
    public async Task StunnelRemovesItWhenItReloads_AndServesOnAtIt()
    {
        await using Supervisor supervisor = Start(Stunnel);
        _ = await supervisor.Event("ready", "web");
        ulong inode = Inode(supervisor);
        Assert.Equal("served\n", await AskStunnel(Path(supervisor)));

        Assert.Equal(0, (await supervisor.Verb("reload-service", "web")).Code);

        Assert.Equal(("its path was removed", "linked back"), await supervisor.Healed("its path"));
        Assert.Equal(inode, Inode(supervisor));
        Assert.Equal("served\n", await AskStunnel(Path(supervisor)));
        Assert.Equal(1, supervisor.Events.All().Count(e => e.Kind == "spawned"));
        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>A request of FastCGI that a worker answers by itself, without a script.</summary>
    private static byte[] Ping { get; } =
    [
        .. Record(1, [0, 1, 0, 0, 0, 0, 0, 0]),
        .. Record(4, [.. Pair("SCRIPT_FILENAME", "/ping"), .. Pair("SCRIPT_NAME", "/ping"), .. Pair("REQUEST_METHOD", "GET")]),
        .. Record(4, []), .. Record(5, []),
    ];

    private static byte[] Record(byte kind, byte[] content) => [1, kind, 0, 1, 0, (byte)content.Length, 0, 0, .. content];

    private static byte[] Pair(string name, string value) =>
        [(byte)name.Length, (byte)value.Length, .. Encoding.ASCII.GetBytes(name), .. Encoding.ASCII.GetBytes(value)];

    private static Supervisor Start(Func<Scratch, string> program, string socket = "", string update = "overlap") =>
        Supervisor.StartText("", scratch => scratch.Write("config.toml", Supervisor.WithRuntimeDirectory($"""
            [sockets.web]
            listen = "unix:web.sock"
            mode = "0600"
            {socket}

            [services.web]
            sockets = ["web"]
            update = "{update}"
            rollout = {"{ prove = \"0s\" }"}
            {program(scratch)}
            """)));

    private static string Php(Scratch scratch)
    {
        string configuration = scratch.Write("fpm.conf", $"""
            [global]
            error_log = /dev/stderr
            process_control_timeout = 5
            [www]
            user = nobody
            group = nogroup
            listen = {scratch.At("web.sock")}
            ping.path = /ping
            pm = static
            pm.max_children = 2
            """);
        return $$"""
            command = ["php-fpm8.2", "--nodaemonize", "--fpm-config", "{{configuration}}"]
            environment = { FPM_SOCKETS = "{{scratch.At("web.sock")}}=${fd:web}" }
            ready = "notify"
            stop_signal = "SIGQUIT"
            """;
    }

    private static string Twisted(Scratch scratch)
    {
        Directory.CreateDirectory(scratch.At("www"));
        scratch.Write("www/hello", "hello");
        return $$"""
            command = ["twistd3", "-n", "--pidfile=", "web", "--listen", "systemd:domain=UNIX:index=0", "--path", "{{scratch.At("www")}}"]
            ready = { output = "Starting factory" }
            """;
    }

    private static string Stunnel(Scratch scratch)
    {
        using RSA key = RSA.Create(2048);
        CertificateRequest asked = new("CN=localhost", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        using X509Certificate2 certificate = asked.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        string both = scratch.Write("both.pem", certificate.ExportCertificatePem() + "\n" + key.ExportPkcs8PrivateKeyPem() + "\n");
        File.SetUnixFileMode(both, UnixFileMode.UserRead | UnixFileMode.UserWrite);
        string configuration = scratch.Write("stunnel.conf", $"""
            foreground = yes
            pid =
            syslog = no
            [web]
            accept = {scratch.At("web.sock")}
            cert = {both}
            exec = /bin/echo
            execArgs = echo served

            """);
        return $$"""
            command = ["stunnel4", "{{configuration}}"]
            ready = { output = "Configuration successful" }
            reload = { signal = "SIGHUP" }
            """;
    }

    private static async Task<string> AskStunnel(string path)
    {
        using Socket client = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        using CancellationTokenSource deadline = new(Deadline.Generous);
        await client.ConnectAsync(new UnixDomainSocketEndPoint(path), deadline.Token);
        await using NetworkStream stream = new(client);
        await using SslStream secret = new(stream, leaveInnerStreamOpen: true, (_, shown, _, _) => shown?.Subject == "CN=localhost");
        await secret.AuthenticateAsClientAsync(new SslClientAuthenticationOptions { TargetHost = "localhost" }, deadline.Token);
        using StreamReader answer = new(secret);
        return await answer.ReadToEndAsync(deadline.Token);
    }

    private static string Path(Supervisor supervisor) => supervisor.Scratch.At("web.sock");

    private static ulong Inode(Supervisor supervisor)
    {
        Assert.Equal(0, FileStatus.ReadNoFollow(AT_FDCWD, Path(supervisor), out FileStatus status).Value);
        return status.Inode;
    }
}
