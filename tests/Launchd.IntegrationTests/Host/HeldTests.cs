using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>What a service can make the supervisor hold, or lose, has a bound and is shown.</summary>
public sealed class HeldTests
{
    private const string Preamble = """
        import array, json, os, signal, socket
        channel = socket.socket(fileno=int(os.environ["LAUNCHD_CHANNEL"]))
        def call(method, descriptors=(), **parameters):
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
            channel.sendmsg([json.dumps({"method": "org.launchd-cs.Instance." + method, "parameters": parameters}).encode()], rights)
            return json.loads(channel.recv(70000))

        """;

    [FactWhenTool("python3")]
    public async Task PublishedCountersAreHeldUpToALimit_AndOneInThePlaceOfAnotherIsNotOneMore()
    {
        await using Supervisor supervisor = Start("", """
            answers = [call("Publish", name=f"n{i}", number=os.eventfd(0)) for i in range(70)]
            again = call("Publish", name="n0", number=os.eventfd(0))
            print("refused", [i for i, a in enumerate(answers) if "error" in a], "again" if "error" not in again else again, flush=True)
            call("Ready")
            signal.pause()
            """);
        _ = await supervisor.Event("ready", "app");
        using ControlSocket control = await ControlSocket.To(supervisor);

        await Says(supervisor, "refused [64, 65, 66, 67, 68, 69] again");
        Assert.Equal(64, (await control.Service("app")).GetProperty("held_descriptors").GetInt32());
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task AStateCannotGrowAfterItWasTaken()
    {
        await using Supervisor supervisor = Start("", """
            def memory(size, sealable):
                made = os.memfd_create("st", os.MFD_CLOEXEC | (os.MFD_ALLOW_SEALING if sealable else 0))
                os.write(made, b"x" * size)
                return made
            def grows(made):
                try:
                    os.ftruncate(made, 4 << 20)
                    return True
                except OSError:
                    return False
            small = memory(100, False)
            print("small", call("SaveState", [small]), grows(small), flush=True)
            kept = call("LoadState")["parameters"]["descriptors"]
            print("kept", len(kept), kept[0]["address"], flush=True)
            open_large = memory(2 << 20, False)
            print("open", call("SaveState", [open_large]).get("error"), flush=True)
            large = memory(2 << 20, True)
            print("large", call("SaveState", [large]), grows(large), flush=True)
            call("Ready")
            signal.pause()
            """);
        _ = await supervisor.Event("ready", "app");

        await Says(supervisor, "small {'parameters': {}} True");
        await Says(supervisor, "kept 1 /memfd:st");
        await Says(supervisor, "open org.launchd-cs.Instance.BadRequest");
        await Says(supervisor, "large {'parameters': {}} False");
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task AClientOfASeqpacketListenerIsNoChannel()
    {
        await using Supervisor supervisor = Start("""
            [sockets.sp]
            listen = "unix-seqpacket:sp.sock"
            [services.server]
            command = ["sleep", "2147483647"]
            sockets = ["sp"]

            """, """
            client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            client.connect("sp.sock")
            own = channel.dup()
            print("client", call("Store", [client.fileno()], name="c"), call("Publish", name="c", number=client.fileno()), flush=True)
            print("channel", call("Store", [own.fileno()], name="c").get("error"),
                call("Publish", name="c", number=own.fileno()).get("error"), flush=True)
            call("Ready")
            signal.pause()
            """);
        _ = await supervisor.Event("ready", "app");

        await Says(supervisor, "client {'parameters': {'stored': 1, 'present': 0}} {'parameters': {}}");
        await Says(supervisor, "channel org.launchd-cs.Instance.BadRequest org.launchd-cs.Instance.BadRequest");
        Assert.Equal(0, await supervisor.Stop());
    }

    // All event counters share one inode, so nothing but the kernel's order of open file descriptions tells them apart.
    [FactWhenTool("python3")]
    public async Task AStoreFullOfEventCounters_KnowsEachAgain()
    {
        await using Supervisor supervisor = Start("", """
            counters = [os.eventfd(0) for _ in range(1000)]
            stored = [call("Store", counters[i:i + 100], name="x")["parameters"]["stored"] for i in range(0, 1000, 100)]
            again = [call("Store", [os.dup(c) for c in counters[i:i + 100]], name="y")["parameters"] for i in range(0, 1000, 100)]
            new = call("Store", [counters[5], os.eventfd(0), counters[999]], name="z")
            print("stored", sum(stored), "again", sum(a["stored"] for a in again), "new", new["parameters"]["stored"], flush=True)
            call("Ready")
            signal.pause()
            """);
        _ = await supervisor.Event("ready", "app");

        await Says(supervisor, "stored 1000 again 0 new 1");
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenTool("python3")]
    public async Task WhatNamesAreStoredTheNextProgramIsExecutedWithThem()
    {
        await using Supervisor supervisor = Start("", """
            isFirst = "LISTEN_FDS" not in os.environ
            made = [call("Store", [os.eventfd(0)], name="%03d" % i + "n" * 252) for i in range(300)] if isFirst else []
            print("stored", sum("error" not in m for m in made), "passed", os.environ.get("LISTEN_FDS"), flush=True)
            call("Ready")
            signal.pause()
            """);
        _ = await supervisor.Event("ready", "app");

        Assert.Equal(0, (await supervisor.Verb("restart", "app")).Code);

        await Says(supervisor, "stored 256 passed None");
        await Says(supervisor, "stored 0 passed 256");
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task LinesThatTheDiskDidNotTakeAreShown()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["/bin/sh", "-c", "echo one; echo two; exec sleep 2147483647"]
            log = { path = "/dev/full" }
            """);
        _ = await supervisor.Event("ready", "app");
        using ControlSocket control = await ControlSocket.To(supervisor);
        JsonElement status = default;
        // The pump tells nobody when it loses a line: asked until it has.
        while (status.ValueKind == JsonValueKind.Undefined || status.GetProperty("services")[0].GetProperty("lost_lines").GetInt64() < 2)
            status = await control.Call("Status");

        Assert.Equal(2, status.GetProperty("supervisor").GetProperty("counters").GetProperty("log_file_lines_lost").GetInt64());
        (_, string shown, _) = await supervisor.Verb("status");
        Assert.Contains("2 lines lost", shown, StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    // Ready comes over the channel, and what was printed before it by a pipe: whichever is read first.
    private static Task<string> Says(Supervisor supervisor, string text) =>
        supervisor.Output.First(l => l.Contains(text, StringComparison.Ordinal), text);

    private static Supervisor Start(string before, string script) => Supervisor.StartText(
        before + """
        [services.app]
        command = ["python3", "app.py"]
        ready = "notify"
        update = "replace"
        fd_store = 1024
        """,
        scratch => scratch.Write("app.py", Preamble + script));
}
