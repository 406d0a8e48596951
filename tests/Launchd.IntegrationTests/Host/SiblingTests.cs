using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.IntegrationTests.Support;
using Launchd.Linux.Descriptors;
using Launchd.Linux.Listening;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>Descriptors between siblings: who may, in which ways, and that no wrong one is ever handed out.</summary>
public sealed class SiblingTests
{
    private const string Owner = """
        [services.owner]
        command = ["python3", "owner.py"]
        share = { "*" = ["asking"] }

        [services.asking]
        command = ["sleep", "2147483647"]
        request = ["owner/*"]

        """;

    /// <summary>What every owner begins with: how to speak on the channel.</summary>
    private const string Preamble = """
        import array, ctypes, json, os, socket
        channel = socket.socket(fileno=int(os.environ["LAUNCHD_CHANNEL"]))
        def send(method, parameters={}, descriptors=(), **more):
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
            message = {"method": "org.launchd-cs.Instance." + method, "parameters": parameters, **more}
            channel.sendmsg([json.dumps(message).encode()], rights)
        def call(method, parameters={}, descriptors=(), **more):
            send(method, parameters, descriptors, **more)
            return json.loads(channel.recv(70000))

        """;

    private static readonly string Request = """{"service":"owner","name":"ring"}""";

    [FactWhenRootAndTool("python3")]
    public async Task EveryWay_OfOneMemory()
    {
        await using Supervisor supervisor = Start(Owner, """
            memory = os.memfd_create("ring")
            os.write(memory, b"0123456789")
            reading = os.open(f"/proc/self/fd/{memory}", os.O_RDONLY)
            print(call("Publish", {"name": "ring", "number": memory}), call("Publish", {"name": "reading", "number": reading}), flush=True)
            channel.recv(1)
            """);
        using ChannelPeer asking = await ChannelPeer.Of(supervisor, "asking");
        asking.Send(ChannelPeer.Request("Request", """{"service":"owner","name":"ring","wait":60000000}"""));
        (string text, FileDescriptor[] got) = asking.Read();
        using FileDescriptor duplicate = Assert.Single(got);
        _ = asking.Call("Request", """{"service":"owner","name":"reading","wait":60000000}""");
        Assert.Contains("\"way\":\"taken\"", text, StringComparison.Ordinal);

        using FileDescriptor reopened = One(asking, """{"service":"owner","name":"ring","mode":"reopen"}""", "reopened");
        using FileDescriptor pidfd = One(asking, """{"service":"owner","name":"ring","mode":"direct"}""", "direct");
        Assert.False(OpenDescription.AreSame(duplicate, reopened));
        Assert.Contains("read-only", ListenerState.Read(reopened).Flags);
        Assert.Equal("pidfd", ListenerState.Read(pidfd).Kind);
        using FileDescriptor writable = One(asking, """{"service":"owner","name":"ring","mode":"reopen","access":"write"}""", "reopened");
        Assert.DoesNotContain("read-only", ListenerState.Read(writable).Flags);
        // Never more than the owner has, though the supervisor is root and could.
        Assert.Contains("EACCES", asking.Call("Request", """{"service":"owner","name":"reading","mode":"reopen","access":"write"}"""),
            StringComparison.Ordinal);
        Happening sent = await supervisor.Event("descriptor-sent", "owner");
        Assert.Equal(("ring", "asking.0", "taken"), (sent.Text("name"), sent.Text("to"), sent.Text("way")));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRootAndTool("python3")]
    public async Task WithoutBothSidesItIsDenied_AndTheRuleIsTold()
    {
        await using Supervisor supervisor = Start(
            Owner.Replace("request = [\"owner/*\"]", "", StringComparison.Ordinal), "channel.recv(1)");
        using ChannelPeer asking = await ChannelPeer.Of(supervisor, "asking");

        Assert.Equal(
            """{"error":"org.launchd-cs.Instance.Denied","parameters":{"rule":"services.asking.request = [\"owner/ring\"]"}}""",
            asking.Call("Request", Request));

        Happening denied = await supervisor.Event("descriptor-denied", "owner");
        Assert.Equal(("ring", "asking.0", "services.asking.request = [\"owner/ring\"]"),
            (denied.Text("name"), denied.Text("to"), denied.Text("rule")));
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRootAndTool("python3")]
    public async Task ANumberThatWasUsedAgainIsStale_AndSoIsOneOfAnotherCounter()
    {
        await using Supervisor supervisor = Start(Owner, """
            first, counter = os.memfd_create("first"), os.eventfd(0)
            call("Publish", {"name": "ring", "number": first})
            call("Publish", {"name": "counter", "number": counter})
            call("Publish", {"name": "closed", "number": os.dup(first)})
            os.close(counter + 1)
            os.dup2(os.memfd_create("second"), first)
            os.dup2(os.eventfd(0), counter)
            print("changed", flush=True)
            channel.recv(1)
            """);
        _ = await supervisor.Output.First(l => l.Contains("changed", StringComparison.Ordinal), "the change");
        using ChannelPeer asking = await ChannelPeer.Of(supervisor, "asking");

        Assert.Contains("Stale", asking.Call("Request", Request), StringComparison.Ordinal);
        Assert.Contains("Stale", asking.Call("Request", """{"service":"owner","name":"counter"}"""), StringComparison.Ordinal);
        Assert.Contains("Stale", asking.Call("Request", """{"service":"owner","name":"closed"}"""), StringComparison.Ordinal);
        Assert.Contains("Stale", asking.Call("Request", """{"service":"owner","name":"ring","mode":"direct"}"""), StringComparison.Ordinal);
        Assert.Contains("Stale", asking.Call("Request", """{"service":"owner","name":"ring","mode":"reopen"}"""), StringComparison.Ordinal);
        Assert.Equal(0, await supervisor.Stop());
    }

    /// <summary>
    /// The owner replaces what stands at the published number as fast as it can. Whoever asks gets the published memory or an error,
    /// and never the other one. LAUNCHD_SIBLING_ROUNDS=100000 is the long form.
    /// </summary>
    [FactWhenRootAndTool("python3")]
    public async Task UnderTheRaceNoWrongDescriptorIsEverHandedOut()
    {
        int rounds = int.TryParse(Environment.GetEnvironmentVariable("LAUNCHD_SIBLING_ROUNDS"), out int asked) ? asked : 5_000;
        await using Supervisor supervisor = Start(Owner, """
            right, wrong = os.memfd_create("right"), os.memfd_create("wrong")
            number = os.dup(right)
            call("Publish", {"name": "ring", "number": number})
            while True:
                os.dup2(wrong, number)
                os.close(number)
                os.dup2(right, number)
            """);
        using ChannelPeer asking = await ChannelPeer.Of(supervisor, "asking");
        _ = asking.Call("Request", """{"service":"owner","name":"ring","wait":60000000}""");
        int pid = await supervisor.Pid();
        int before = Living.DescriptorCount(pid);
        int right = 0, stale = 0;

        for (int i = 0; i < rounds; i++)
        {
            asking.Send(ChannelPeer.Request("Request", i % 3 == 0 ? """{"service":"owner","name":"ring","mode":"reopen"}""" : Request));
            (string text, FileDescriptor[] got) = asking.Read();
            if (got.Length == 0)
            {
                // On a busy machine they may come faster than they are closed for the owner again.
                if (text.Contains("opened and closed for the owner", StringComparison.Ordinal))
                    continue;
                Assert.Contains("Stale", text, StringComparison.Ordinal);
                stale++;
                continue;
            }
            using FileDescriptor one = Assert.Single(got);
            Assert.StartsWith("/memfd:right", ListenerState.Read(one).Address, StringComparison.Ordinal);
            right++;
        }

        using ControlSocket control = await ControlSocket.To(supervisor);
        await control.DescriptorsAtMost(pid, before + 1);
        Assert.True(right > 0 && stale > 0, $"no race: {right} right, {stale} stale");
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRootAndTool("python3")]
    public async Task WhereTheKernelRefuses_TheOwnerIsAsked_AndTheReasonIsToldIfItDoesNotListen()
    {
        // Root may take everything: so the supervisor gives the right to up for itself, and the owner makes itself non-dumpable.
        const string Hidden = """
            ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)
            memory = os.memfd_create("ring")
            print(call("Publish", {"name": "ring", "number": memory}), flush=True)
            """;
        using Scratch scratch = new();
        string configuration = scratch.Write("config.toml", Supervisor.WithRuntimeDirectory(Owner + """

            [services.silent]
            command = ["python3", "silent.py"]
            share = { "*" = ["asking"] }
            """).Replace("request = [\"owner/*\"]", "request = [\"owner/*\", \"silent/*\"]",
                StringComparison.Ordinal));
        scratch.Write("owner.py", Preamble + Hidden + """

            print("watches", call("Watch", more=True), flush=True)
            while True:
                event = json.loads(channel.recv(70000))
                if event["parameters"].get("event") == "Wanted":
                    send("Give", {"ask": event["parameters"]["ask"]}, [event["parameters"]["number"]])
            """);
        scratch.Write("silent.py", Preamble + Hidden + "\nchannel.recv(1)\n");
        System.IO.File.SetUnixFileMode(scratch.FolderPath, (UnixFileMode)0b1_111_111_111);
        await using Command run = Command.Start(
            ["setpriv", "--reuid=65534", "--clear-groups", "--bounding-set=-all",
                "--inh-caps=-all", .. Repository.LaunchdCommandForEverybody, "run", configuration],
            scratch.FolderPath);
        _ = await run.Output.First(
            l => l.Contains("silent.0", StringComparison.Ordinal) && l.Contains("parameters", StringComparison.Ordinal), "silent");
        _ = await run.Output.First(
            l => l.Contains("owner.0", StringComparison.Ordinal) && l.Contains("watches", StringComparison.Ordinal), "owner");
        using ControlSocket control = await ControlSocket.To(scratch);
        JsonElement instance = (await control.Service("asking")).GetProperty("instances")[0];
        using ChannelPeer asking = ChannelPeer.OfProcess(instance.GetProperty("pid").GetInt32());

        asking.Send(ChannelPeer.Request("Request", """{"service":"owner","name":"ring","wait":60000000}"""));
        (string text, FileDescriptor[] got) = asking.Read();
        using FileDescriptor given = Assert.Single(got);
        Assert.Contains("\"way\":\"given\"", text, StringComparison.Ordinal);
        Assert.StartsWith("/memfd:ring", ListenerState.Read(given).Address, StringComparison.Ordinal);
        JsonElement refused = JsonElement.Parse(asking.Call("Request", """{"service":"silent","name":"ring"}"""));
        Assert.EndsWith("NotPermittedByKernel", refused.GetProperty("error").GetString(), StringComparison.Ordinal);
        Assert.Equal("pidfd_getfd", refused.GetProperty("parameters").GetProperty("call").GetString());
        Assert.Equal("EPERM", refused.GetProperty("parameters").GetProperty("errno").GetString());
        Assert.StartsWith("dumpable: ", refused.GetProperty("parameters").GetProperty("cause").GetString(), StringComparison.Ordinal);
        Assert.True(run.Signal(Living.SIGTERM));
        Assert.Equal(0, await run.Exit());
    }

    [FactWhenRootAndTool("python3")]
    public async Task WaitingHoldsUpNoOtherRequest_OnlyTheirAnswers()
    {
        await using Supervisor supervisor = Start(Owner, """
            channel.recv(1)
            """);
        using ChannelPeer asking = await ChannelPeer.Of(supervisor, "asking");

        asking.Send(ChannelPeer.Request("Request", """{"service":"owner","name":"late","wait":300000}"""));
        asking.Send(ChannelPeer.Request("Status", """{"text":"said while it waits"}"""));
        _ = await supervisor.Events.First(e => e.Texts("lines").Contains("STATUS=said while it waits"), "the status");

        Assert.Contains("NoSuchDescriptor", asking.ReadText(), StringComparison.Ordinal);
        Assert.Equal("""{"parameters":{}}""", asking.ReadText());
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenRootAndTool("python3")]
    public async Task AnOperatorFetchesWhatIsHeld_PublishedOrOpen()
    {
        string listening = Owner.Replace("share", "sockets = [\"http\"]\nshare", StringComparison.Ordinal);
        await using Supervisor supervisor = Start("[sockets.http]\nlisten = \"tcp://127.0.0.1:0\"\n" + listening, """
            memory = os.memfd_create("ring")
            os.write(memory, b"what stands in it")
            os.lseek(memory, 0, 0)
            print(call("Publish", {"name": "ring", "number": memory}), flush=True)
            channel.recv(1)
            """);
        _ = await supervisor.Output.First(l => l.Contains("parameters", StringComparison.Ordinal), "the publication");

        (int code, string output, string errors) = await supervisor.Verb("fd", "get", "owner/ring", "--at", "0", "--", "cat");
        Assert.Equal((0, "what stands in it", ""), (code, output.Trim(), errors));
        (code, output, _) = await supervisor.Verb("fd", "get", "owner/http", "--", "/bin/sh", "-c",
            "[ $LISTEN_PID = $$ ] && echo $LISTEN_FDS $LISTEN_FDNAMES; readlink /proc/self/fd/3 | cut -d: -f1");
        Assert.Equal((0, "1 http\nsocket"), (code, output.Trim()));
        (code, _, errors) = await supervisor.Verb("fd", "get", "owner/htp", "--", "true");
        Assert.Equal((1, "launchd-cs: 'owner' has no descriptor 'htp'; did you mean 'http'?"), (code, errors.Trim()));
        (code, output, _) = await supervisor.Verb("fds", "--json");
        JsonElement ring = JsonElement.Parse(output).GetProperty("descriptors")
            .EnumerateArray().Single(d => d.GetProperty("name").GetString() == "ring");
        Assert.Equal("""["asking"]""", ring.GetProperty("may_ask").GetRawText());
        Assert.Equal("""["owner.0"]""", ring.GetProperty("holders").GetRawText());
        int number = ring.GetProperty("number").GetInt32();
        (code, output, _) = await supervisor.Verb("fd", "get", $"owner.0/@{number}", "--", "readlink", "/proc/self/fd/3");
        Assert.Equal((0, "/memfd:ring (deleted)"), (code, output.Trim()));
        Assert.Equal(77, (await supervisor.Verb("fd", "get", "owner/@4", "--", "true")).Code);
        Assert.Equal(0, await supervisor.Stop());
    }

    private static Supervisor Start(string configuration, string owner) =>
        Supervisor.StartText(configuration
            .Replace("[\"python3\", \"owner.py\"]", $"[\"python3\", \"-c\", {JsonSerializer.Serialize(Preamble + owner)}]",
                StringComparison.Ordinal)
            .Replace("$", "$$", StringComparison.Ordinal));

    private static FileDescriptor One(ChannelPeer asking, string request, string way)
    {
        asking.Send(ChannelPeer.Request("Request", request));
        (string text, FileDescriptor[] got) = asking.Read();
        Assert.Contains($"\"way\":\"{way}\"", text, StringComparison.Ordinal);
        return Assert.Single(got);
    }
}
