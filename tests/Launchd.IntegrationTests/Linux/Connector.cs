using Launchd.Addresses;
using Launchd.Client;
using Launchd.Linux.Calls;
using Launchd.Linux.Loop;
using Launchd.Linux.Sockets;

namespace Launchd.IntegrationTests.Linux;

/// <summary>Connects and waits for it, which the supervisor never does.</summary>
internal static class Connector
{
    public static OpenResult<FileDescriptor> Connect(ListenAddress target, TimeSpan patience)
    {
        OpenResult<Connecting> begun = Connecting.Begin(target);
        if (!begun.TryGet(out Connecting? connecting, out OpenFailure? failure))
            return failure;
        using Connecting held = connecting;
        if (connecting.Stage == ConnectStage.Awaited)
            failure = Await(connecting, patience);
        else if (connecting.Stage == ConnectStage.NeedsThread)
            failure = connecting.ConnectOnThread(patience);
        return failure is null ? connecting.Take() : failure;
    }

    private static OpenFailure? Await(Connecting connecting, TimeSpan patience)
    {
        using EventLoop loop = new();
        bool isDecided = false;
        _ = loop.Watch(connecting.Descriptor, IoReadiness.Writable, 0, _ => isDecided = true);
        // The runtime interrupts its threads by signals.
        long end = Clock.MonotonicNanoseconds + (patience.Ticks * TimeSpan.NanosecondsPerTick);
        while (!isDecided && end - Clock.MonotonicNanoseconds is > 0 and long rest)
            loop.Wait(rest);
        loop.Unwatch(connecting.Descriptor);
        return isDecided ? connecting.Decide() : new OpenFailure("connect", "a connection", Errno.ETIMEDOUT);
    }
}
