using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Interop;
using Launchd.Linux.Calls;
using Launchd.Linux.Processes;

namespace Launchd.Linux.Spawning;

/// <summary>
/// The supervisor's side of <see cref="SpawnCarrier.Exec"/>: posix_spawn(3) of this program, with the plan in a memfd and a pipe for the
/// report, and then waits until the helper has become the child or has failed. For one thread at a time, like the other carrier.
/// </summary>
internal sealed unsafe class HelperCarrier(ExecPlan plan)
{
    private const int F_DUPFD_CLOEXEC = 1030;
    private const short POSIX_SPAWN_SETSIGMASK = 8;

    /// <summary>More than posix_spawn_file_actions_t and posix_spawnattr_t of any libc.</summary>
    private const int OpaqueBytes = 1024;

    private const int ReportBytes = 1 + (2 * sizeof(int));

    // The program that runs now, whatever file is under its name by now.
    private static readonly byte[] Image = "/proc/self/exe\0"u8.ToArray();

    private readonly byte[][] _environment =
        [.. OwnStart.Environment.Select(v => CString.From($"{v.Key}={v.Value}"))];

    /// <summary>As <see cref="Spawner.Start"/>.</summary>
    public SpawnFailure? Start(SpawnRequest request, int* seen, out ProcessHandle? child)
    {
        child = null;
        Span<int> sources = new int[request.Descriptors.Count];
        Errno refused = Spawner.LiftAbove(request.Descriptors, sources);
        try
        {
            if (refused != Errno.None)
                return new SpawnFailure(SpawnStage.Descriptors, refused);
            int* ends = stackalloc int[2];
            if (Libc.pipe2(ends, Libc.O_CLOEXEC) < 0)
                return new SpawnFailure(SpawnStage.Clone, Errno.Last);
            using FileDescriptor report = new(ends[0]);
            using FileDescriptor written = new(ends[1]);
            using FileDescriptor lifted = new(Libc.fcntl(written.Number, F_DUPFD_CLOEXEC, Spawner.LeastLifted(request.Descriptors)));
            written.Dispose();
            if (lifted.IsInvalid)
                return new SpawnFailure(SpawnStage.Clone, Errno.Last);
            plan.Lay(request, sources, closeAbove: 0, lifted.Number);
            using FileDescriptor? memory = plan.Image.Write(out refused);
            if (memory is null)
                return new SpawnFailure(SpawnStage.Clone, refused);
            refused = StartHelper(memory, lifted, sources, out ProcessHandle? helper);
            lifted.Dispose();
            if (seen != null && helper is not null)
                Volatile.Write(ref *seen, helper.Pid);
            return refused != Errno.None ? new SpawnFailure(SpawnStage.Clone, refused) : Follow(report, helper!, out child);
        }
        finally
        {
            foreach (int source in sources)
            {
                if (source >= 0)
                    _ = Client.Interop.ClientLibc.close(source);
            }
        }
    }

    private static SpawnFailure? Follow(FileDescriptor report, ProcessHandle helper, out ProcessHandle? child)
    {
        child = null;
        byte* said = stackalloc byte[ReportBytes];
        int length = 0;
        while (length < ReportBytes)
        {
            nint got = Libc.read(report.Number, said + length, (nuint)(ReportBytes - length));
            if (got < 0 && Errno.Last == Errno.EINTR)
                continue;
            if (got <= 0)
                break;
            length += (int)got;
        }
        if (length == 1)
        {
            child = helper;
            return null;
        }
        using (helper)
            _ = Spawner.Reap(helper);
        int* failed = (int*)(said + 1);
        return length == ReportBytes
            ? new SpawnFailure((SpawnStage)Unsafe.ReadUnaligned<int>(failed), new Errno(Unsafe.ReadUnaligned<int>(failed + 1)))
            : new SpawnFailure(SpawnStage.Clone, Errno.EIO); // It never came to its plan.
    }

    private Errno StartHelper(FileDescriptor memory, FileDescriptor report, ReadOnlySpan<int> sources, out ProcessHandle? helper)
    {
        helper = null;
        byte* actions = stackalloc byte[OpaqueBytes],
            attributes = stackalloc byte[OpaqueBytes], mask = stackalloc byte[Libc.SignalSetBytes];
        new Span<byte>(mask, Libc.SignalSetBytes).Fill(0xff);
        _ = Libc.posix_spawn_file_actions_init(actions);
        _ = Libc.posix_spawnattr_init(attributes);
        _ = Libc.posix_spawnattr_setsigmask(attributes, mask);
        _ = Libc.posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK);
        // A copy onto itself lifts close-on-exec, posix_spawn(3).
        int refused = PassOn(actions, memory.Number) | PassOn(actions, report.Number);
        foreach (int source in sources)
            refused |= PassOn(actions, source);
        int pid = 0;
        if (refused == 0)
            refused = Spawn(&pid, actions, attributes, memory.Number);
        _ = Libc.posix_spawn_file_actions_destroy(actions);
        _ = Libc.posix_spawnattr_destroy(attributes);
        if (refused != 0)
            return new Errno(refused);
        // The helper is a child that was not reaped, so the number is still its own.
        helper = ProcessHandle.TryOpen(pid);
        return helper is null ? Errno.Last : Errno.None;
    }

    private int Spawn(int* pid, void* actions, void* attributes, int memory)
    {
        byte[][] words = [.. Words(memory).Select(CString.From)];
        byte** arguments = stackalloc byte*[words.Length + 1];
        byte*[] environment = new byte*[_environment.Length + 1];
        GCHandle[] pinned = [.. words.Concat(_environment).Select(t =>
            GCHandle.Alloc(t, GCHandleType.Pinned))];
        for (int i = 0; i < words.Length; i++)
            arguments[i] = (byte*)pinned[i].AddrOfPinnedObject();
        arguments[words.Length] = null;
        for (int i = 0; i < _environment.Length; i++)
            environment[i] = (byte*)pinned[words.Length + i].AddrOfPinnedObject();
        int refused;
        fixed (byte* image = Image)
        fixed (byte** variables = environment)
            refused = Libc.posix_spawn(pid, image, actions, attributes, arguments, variables);
        foreach (GCHandle text in pinned)
            text.Free();
        return refused;
    }

    // Without native code the image is the runtime's host, which needs the program as its first argument.
    private static IEnumerable<string> Words(int memory)
    {
        string self = Environment.ProcessPath ?? "launchd-cs";
        bool isHost = Path.GetFileName(self) == "dotnet";
        return [self, .. isHost ? (string[])[Path.Combine(AppContext.BaseDirectory, "launchd-cs.dll")] : [], PlanHelper.Word,
            memory.ToString(CultureInfo.InvariantCulture)];
    }

    private static int PassOn(void* actions, int number) => Libc.posix_spawn_file_actions_adddup2(actions, number, number);
}
