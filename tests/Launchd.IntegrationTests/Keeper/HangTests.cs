using System.Runtime.InteropServices;
using Launchd.AcceptanceTests.Support;
using Launchd.IntegrationTests.Host;
using Launchd.Interop;
using Launchd.Keeper;
using Launchd.Linux.Loop;
using Launchd.Linux.Processes;
using Xunit;

namespace Launchd.IntegrationTests.Keeper;

/// <summary>A supervisor whose loop stands still.</summary>
public sealed class HangTests
{
    private const long Period = 20_000_000;
    private const int SIGSTOP = 19, SIGABRT = 6;

    /// <summary>A loop that stands still in the reaping of a child, because its libc has other code there than before.</summary>
    [Fact]
    public async Task ItIsEnded_AndTheNextOneGoesOn()
    {
        await using Supervisor supervisor = Supervisor.StartText("""
            [services.app]
            command = ["sleep", "2147483647"]
            [services.other]
            command = ["sleep", "2147483647"]
            """);
        int other = (await supervisor.Event("ready", "other")).Pid;
        int app = (await supervisor.Event("ready", "app")).Pid;
        int pid = await supervisor.Pid();
        HaltIn("waitid", pid);

        Living.Kill(app);

        string said = await supervisor.Errors.First(l => l.Contains("hangs", StringComparison.Ordinal), "that it hangs");
        Assert.Contains($"the supervisor (pid {pid}) hangs: its loop has stood still for 10 s", said, StringComparison.Ordinal);
        string after = await supervisor.Errors.First(l => l.Contains("started anew by the keeper", StringComparison.Ordinal), "the next");
        Assert.Contains($"the supervisor with pid {pid}: its loop stood still for 10 s, killed by ", after, StringComparison.Ordinal);
        using ControlSocket control = await ControlSocket.To(supervisor.Scratch);
        (_, string events, _) = await supervisor.Verb("events", "--json");
        Assert.Contains("its loop stood still", events, StringComparison.Ordinal);
        (_, string status, _) = await supervisor.Verb("status");
        Assert.Contains($"started anew after pid {pid}: its loop stood still", status, StringComparison.Ordinal);
        Assert.True(Living.IsAlive(other));
        Assert.Equal(0, await supervisor.Stop());
    }

    [Fact]
    public async Task ATurnOfTwoPeriodsIsAHang()
    {
        await using Command child = Command.Start(["sleep", "2147483647"]);
        using ProcessHandle process = ProcessHandle.TryOpen(child.Pid)!;
        using TurnTimer timer = TurnTimer.TryOpen(Period)!;
        using HangWatch watch = Watching(child.Pid, timer);

        timer.Begin();
        LookOnce(watch);
        ExpireOnce(watch, process);

        Assert.True(watch.HasHung);
        Assert.Equal(128 + SIGABRT, await child.Exit());
    }

    [Fact]
    public async Task TwoTurnsAreNone_NorIsOneThatHasEnded()
    {
        await using Command child = Command.Start(["sleep", "2147483647"]);
        using ProcessHandle process = ProcessHandle.TryOpen(child.Pid)!;
        using TurnTimer timer = TurnTimer.TryOpen(Period)!;
        using HangWatch watch = Watching(child.Pid, timer);

        timer.Begin();
        LookOnce(watch);
        timer.End();
        ExpireOnce(watch, process);
        Assert.False(watch.HasHung);

        timer.Begin();
        LookOnce(watch);
        timer.End();
        timer.Begin();
        // The second turn ends before its second period.
        WaitFor(timer);
        timer.End();
        ExpireOnce(watch, process);
        Assert.False(watch.HasHung);
        Assert.True(child.IsRunning);
    }

    [Fact]
    public async Task OneThatIsStoppedDoesNotHang()
    {
        await using Command child = Command.Start(["sleep", "2147483647"]);
        using ProcessHandle process = ProcessHandle.TryOpen(child.Pid)!;
        using TurnTimer timer = TurnTimer.TryOpen(Period)!;
        using HangWatch watch = Watching(child.Pid, timer);
        _ = process.Signal(SIGSTOP);
        while (ProcessFacts.Read(child.Pid) is { State: not 'T' })
            await Task.Yield();

        timer.Begin();
        LookOnce(watch);

        Assert.Equal(long.MaxValue, watch.Due);
        Assert.NotEqual(-1, watch.Number);
        Assert.False(watch.HasHung);
    }

    private static HangWatch Watching(int pid, TurnTimer timer)
    {
        HangWatch watch = new(Period);
        watch.Begin(pid);
        Assert.Equal(-1, watch.Number);
        watch.Take(timer.Descriptor.Duplicate());
        return watch;
    }

    private static void LookOnce(HangWatch watch)
    {
        Libc.poll_entry entry = new() { fd = watch.Number, events = Libc.POLLIN };
        Assert.Equal(1, Libc.poll(ref entry, 1, 30_000));
        watch.Look(Clock.MonotonicNanoseconds);
    }

    private static void WaitFor(TurnTimer timer)
    {
        Libc.poll_entry entry = new() { fd = timer.Descriptor.Number, events = Libc.POLLIN };
        Assert.Equal(1, Libc.poll(ref entry, 1, 30_000));
    }

    private static void ExpireOnce(HangWatch watch, ProcessHandle process)
    {
        Libc.poll_entry nothing = new() { fd = -1 };
        while (Clock.MonotonicNanoseconds < watch.Due)
            _ = Libc.poll(ref nothing, 1, 1);
        watch.Expire(process, Clock.MonotonicNanoseconds);
    }

    /// <summary>Writes over the beginning of a function of libc in another process: who calls it there never comes back.</summary>
    private static void HaltIn(string function, int pid)
    {
        // pause(2), again and again; on arm64 a branch to itself.
        byte[] halt = RuntimeInformation.ProcessArchitecture == Architecture.X64
            ? [0xB8, 34, 0, 0, 0, 0x0F, 0x05, 0xEB, 0xF7] : [0, 0, 0, 0x14];
        nint here = NativeLibrary.GetExport(NativeLibrary.Load("libc.so.6"), function);
        using FileStream memory = new($"/proc/{pid}/mem", FileMode.Open, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);
        memory.Position = here - LibcOf("self") + LibcOf($"{pid}");
        memory.Write(halt);
    }

    private static long LibcOf(string process) => File.ReadLines($"/proc/{process}/maps")
        .Where(l => l.EndsWith("/libc.so.6", StringComparison.Ordinal)).Min(l => Convert.ToInt64(l[..l.IndexOf('-')], 16));
}
