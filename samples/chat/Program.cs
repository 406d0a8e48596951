// A chat server whose clients do not notice that it is restarted: they stay connected, and no line is lost or doubled. What is said
// stands in README.md, how it is run in chat.toml.
using System.Net.Sockets;
using System.Runtime.InteropServices;
using Launchd.Client;
using Launchd.Samples.Chat;

await using LaunchdClient launchd = LaunchdClient.FromEnvironment();
using Socket listener = launchd.Find("chat")?.TakeSocket() ?? throw new InvalidOperationException("run it with launchd-cs: see chat.toml");
using var ending = new CancellationTokenSource();
using PosixSignalRegistration sigterm = PosixSignalRegistration.Create(PosixSignal.SIGTERM, signal =>
{
    signal.Cancel = true;
    ending.Cancel();
});
var room = new Room(listener);

// Ready means: ready to take over. The predecessor serves on until we have proven ourselves, so we do not accept yet.
launchd.NotifyReady();
try
{
    using TakeOver? before = await launchd.TakeOverAsync(ending.Token);
    if (before is not null)
    {
        room.Restore(before.State, before.Descriptors);
        // Until here the clients are the predecessor's: had anything failed, it would serve on. From here on they are ours.
        await before.ConfirmAsync();
        launchd.NotifyStatus($"took over {before.Descriptors.Count} clients");
    }
}
catch (OperationCanceledException)
{
    return;
}

room.Serve(until: ending.Token);
while (true)
{
    // We are to end. Clients are served until the successor is there; then the room stands still for as long as the hand-over takes.
    using var isThere = new CancellationTokenSource();
    Task<HandOver?> successor = launchd.BeginHandOverAsync();
    _ = successor.ContinueWith(_ => isThere.Cancel(), TaskScheduler.Default);
    room.Serve(until: isThere.Token);
    using HandOver? handOver = await successor;
    if (handOver is null || await handOver.CompleteAsync(room.Save(), room.Connections))
        return;
    Console.WriteLine("the successor did not take over: the room is still ours");
}
