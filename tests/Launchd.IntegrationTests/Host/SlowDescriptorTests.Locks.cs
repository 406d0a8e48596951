using System.Text.Json;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Host;

/// <summary>
/// Sockets whose lock somebody holds: by a thread in a call on the socket, whose memory never comes. Whoever asks the kernel for the
/// address, the filter or the state of such a socket waits, and hears no signal, not even SIGKILL.
/// </summary>
public sealed partial class SlowDescriptorTests
{
    private const string Held = """
        import platform
        libc = ctypes.CDLL(None, use_errno=True)
        def never():
            # Memory that is not there before this program says what is in it: userfaultfd(2).
            faults = libc.syscall(323 if platform.machine() == "x86_64" else 282, os.O_CLOEXEC)
            interface = (ctypes.c_uint64 * 3)(0xAA)
            libc.mmap.restype = ctypes.c_void_p
            page = libc.mmap(None, ctypes.c_size_t(1 << 16), 3, 0x22, -1, ctypes.c_size_t(0))
            region = (ctypes.c_uint64 * 4)(page, 1 << 16, 1)
            if (faults < 0 or libc.ioctl(faults, ctypes.c_ulong(0xC018AA3F), interface)
                    or libc.ioctl(faults, ctypes.c_ulong(0xC020AA00), region)):
                raise OSError(ctypes.get_errno(), "userfaultfd")
            return ctypes.c_void_p(page)
        def hold(number):
            # IP_OPTIONS are read under the lock.
            holder = threading.Thread(target=libc.setsockopt, args=(number, 0, 4, never(), 4), daemon=True)
            holder.start()
            while open("/proc/self/task/%d/syscall" % holder.native_id).read().split()[0] not in ("54", "208"): pass

        """;

    [FactWhenUserFaults]
    public async Task AListenerThatSomebodyHolds_StopsNeitherTheLoopNorTheEnd()
    {
        await using Supervisor supervisor = Start(null, Held + """
            hold(3)
            print("it is locked", flush=True)
            signal.pause()
            """, "sockets = [\"held\"]\n",
            "[sockets.held]\nlisten = \"tcp://127.0.0.1:0\"\n[sockets.free]\nlisten = \"tcp://127.0.0.1:0\"\n");
        await Line(supervisor, "it is locked");
        using ControlSocket control = await ControlSocket.To(supervisor);

        await AssertPrompt(control);

        JsonElement[] all = await Descriptors(control);
        Assert.Equal(("unknown", "not-answering"), KindAndFlag(all, "held"));
        Assert.Equal(("tcp-listener", "listening"), KindAndFlag(all, "free"));
        // The next instance gets the socket while the former one still waits inside the kernel.
        _ = await control.Call("Restart", "{\"services\":[\"app\"],\"wait\":false}");
        _ = await supervisor.Event("spawned", "app", nth: 2);
        await AssertPrompt(control);
        Assert.Equal(0, await supervisor.Stop());
    }

    [FactWhenUserFaults]
    public async Task ASocketThatSomebodyHolds_IsStoredAndListed()
    {
        using Peer peer = new();
        await using Supervisor supervisor = Start(peer, Held + """
            free, held = [socket.create_connection(("127.0.0.1", int(os.environ["PEER"]))) for _ in range(2)]
            hold(held.fileno())
            notifying.sendmsg([b"FDSTORE=1\nFDNAME=a"], rights([held.fileno()]))
            print(call("Store", {"name": "b"}, [held.fileno()]), call("Store", {"name": "c"}, [free.fileno()]))
            print([one["kind"] for one in call("List")["parameters"]["descriptors"]], flush=True)
            signal.pause()
            """);

        await Line(supervisor, "['tcp-socket', 'tcp-socket']");
        // A notification has no answer, and what came with it is looked at beside the loop.
        _ = await supervisor.Event("stored", "app", nth: 2);

        using ControlSocket control = await ControlSocket.To(supervisor);
        await AssertPrompt(control);
        JsonElement[] all = await Descriptors(control);
        // It is one descriptor, and has the name under which it came first.
        Assert.Equal(("unknown", "not-answering"), KindAndFlag(all, "a", "b"));
        Assert.Equal("tcp-socket", KindAndFlag(all, "c").Kind);
        Assert.Equal(0, await supervisor.Stop());
    }

    private static (string? Kind, string? Flag) KindAndFlag(JsonElement[] all, params string[] names)
    {
        JsonElement one = all.Single(d => names.Contains(d.GetProperty("name").GetString()));
        return (one.GetProperty("kind").GetString(), one.GetProperty("flags").EnumerateArray().Select(f => f.GetString()).FirstOrDefault());
    }
}
