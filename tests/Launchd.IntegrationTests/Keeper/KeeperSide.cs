using Launchd.AcceptanceTests.Support;
using Launchd.Client;
using Launchd.Client.Interop;
using Launchd.Interop;
using Launchd.Keeper;

namespace Launchd.IntegrationTests.Keeper;

/// <summary>A keeper's side that runs until it is disposed.</summary>
internal sealed class KeeperSide : IDisposable
{
    private readonly KeeperDialogue _dialogue;
    private readonly Thread _thread;
    private readonly FileDescriptor _end = new(Libc.eventfd(0, ClientLibc.O_CLOEXEC));

    public KeeperSide(KeeperTable table, FileDescriptor socketTaken)
    {
        _dialogue = new KeeperDialogue(table, new HangWatch());
        _dialogue.Begin(socketTaken, 1, new KeeperHistory { IsFirst = 1 });
        _thread = new Thread(Run) { IsBackground = true };
        _thread.Start();
    }

    /// <summary>Calls something that waits for the keeper.</summary>
    public static async Task<T> During<T>(Func<T> call) => await Task.Run(call).WaitAsync(Deadline.Generous);

    public unsafe void Dispose()
    {
        if (_end.IsClosed)
            return;
        ulong one = 1;
        _ = Libc.write(_end.Number, (byte*)&one, sizeof(ulong));
        _thread.Join();
        _dialogue.Dispose();
        _end.Dispose();
    }

    private unsafe void Run()
    {
        Libc.poll_entry* entries = stackalloc Libc.poll_entry[2];
        entries[0] = new() { fd = _end.Number, events = Libc.POLLIN };
        while (_dialogue.Socket is { } socket)
        {
            entries[1] = new() { fd = socket.Number, events = (short)(Libc.POLLIN | (_dialogue.IsWaitingToSend ? Libc.POLLOUT : 0)) };
            _ = Libc.poll(ref *entries, 2, -1);
            if (entries[0].revents != 0)
                return;
            _dialogue.Send();
            _dialogue.Read();
        }
    }
}
