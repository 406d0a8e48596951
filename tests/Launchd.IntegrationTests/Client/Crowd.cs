using System.Net;
using System.Net.Sockets;
using System.Text;
using Launchd.AcceptanceTests.Support;
using Xunit;

namespace Launchd.IntegrationTests.Client;

/// <summary>
/// Guests of the chat, each over one connection, and a ledger of every line that each of them got. Nobody connects twice: a connection
/// that ends fails the test.
/// </summary>
internal sealed class Crowd : IAsyncDisposable
{
    /// <summary>Has little room in the kernel: what it does not read stays with the server.</summary>
    private const int Deaf = 20;

    private readonly List<Guest> _guests = [];
    private readonly CancellationTokenSource _talking = new();
    private int _ended;
    private Task<int[]> _talks = Task.FromResult<int[]>([]);

    /// <summary>So many lines were said so far.</summary>
    public int LineCount => _guests[0].LineCount;

    /// <summary>One after the other, so that what each has to get is known.</summary>
    public static async Task<Crowd> Gather(IPEndPoint address, int count)
    {
        Crowd crowd = new();
        for (int i = 0; i < count; i++)
            crowd._guests.Add(await Guest.Come(address, $"guest{i}", isNarrow: i == Deaf));
        return crowd;
    }

    public Guest this[int index] => _guests[index];

    /// <summary>One of them reads nothing from now on, and is told more than the kernels take.</summary>
    public async Task TellTheDeaf()
    {
        _guests[Deaf].Pause();
        for (int i = 0; i < 30; i++)
            await _guests[Deaf + 1].Send(new string('x', 3000) + "\n");
    }

    public void LetTheDeafHear() => _guests[Deaf].ReadAgain();

    /// <summary>The first ones say one line after the other, each when its former one has come back, until <see cref="Part"/>.</summary>
    public void Talk(int talkers) => _talks = Task.WhenAll(_guests.Take(talkers).Select(g => g.Talk(_talking.Token)));

    /// <summary>More lines than there are now have been said: whoever serves now does serve.</summary>
    public Task HearMore() => _guests[0].Hear(LineCount + 20);

    /// <summary>Everybody begins a line.</summary>
    public Task BeginLines() => Task.WhenAll(_guests.Skip(10).Select(g => g.Send("begun here, ")));

    /// <summary>And ends it, whoever reads it now. All of them are heard: what is said afterwards comes afterwards.</summary>
    public async Task EndLines()
    {
        await Task.WhenAll(_guests.Skip(10).Select(g => g.Send("ended there\n")));
        _ended += _guests.Count - 10;
        await _guests[0].HearOften("ended there", _ended);
    }

    /// <summary>
    /// The end: everybody has got every line since its own coming, once and in the one order, and nobody was disconnected.
    /// </summary>
    public async Task Part()
    {
        await _talking.CancelAsync();
        int[] said = await Deadline.Await(_talks, "the talkers' last lines", () => $"{LineCount} lines");
        await _guests[^1].Send("the end\n");
        string[][] heard = await Deadline.Await(
            Task.WhenAll(_guests.Select(g => g.HearEnd($"{_guests[^1].Name}: the end"))),
            "the last line at everybody", () => string.Join('\n', _guests));

        string[] ledger = heard[0];
        for (int i = 0; i < ledger.Length; i++)
            Assert.StartsWith($"{i + 1} ", ledger[i], StringComparison.Ordinal);
        for (int i = 0; i < heard.Length; i++)
        {
            int first = Array.FindIndex(ledger, l => l.EndsWith($" guest{i} has come", StringComparison.Ordinal));
            Assert.Equal(ledger[first..], heard[i]);
        }
        for (int i = 0; i < said.Length; i++)
        {
            string his = $" guest{i}: says ";
            string[] numbers = [.. ledger.Where(l => l.Contains(his, StringComparison.Ordinal))
                .Select(l => l[(l.IndexOf(his, StringComparison.Ordinal) + his.Length)..])];
            Assert.Equal(Enumerable.Range(0, said[i]).Select(n => $"{n}"), numbers);
        }
        Assert.DoesNotContain(ledger, l => l.EndsWith(" has left", StringComparison.Ordinal));
    }

    public async ValueTask DisposeAsync()
    {
        await _talking.CancelAsync();
        foreach (Guest guest in _guests)
            guest.Dispose();
        _talking.Dispose();
    }

    internal sealed class Guest : IDisposable
    {
        private readonly Socket _socket;
        private readonly StreamReader _reader;
        private readonly Lock _gate = new();
        private readonly List<string> _lines = [];
        private readonly SemaphoreSlim _back = new(0);
        private TaskCompletionSource _change = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private TaskCompletionSource _mayRead = new();
        private string? _ended;
        private bool _isDisposed;

        private Guest(Socket socket, string name)
        {
            _socket = socket;
            Name = name;
            _reader = new StreamReader(new NetworkStream(socket));
            _mayRead.SetResult();
        }

        public string Name { get; }

        public int LineCount
        {
            get
            {
                lock (_gate)
                    return _lines.Count;
            }
        }

        public static async Task<Guest> Come(IPEndPoint address, string name, bool isNarrow)
        {
            Socket socket = new(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
            if (isNarrow)
                socket.ReceiveBufferSize = 4096;
            await socket.ConnectAsync(address);
            Guest guest = new(socket, name);
            _ = guest.Read();
            await guest.Send(name + "\n");
            await guest.Hear(1);
            return guest;
        }

        public async Task Send(string text)
        {
            ReadOnlyMemory<byte> bytes = Encoding.UTF8.GetBytes(text);
            while (bytes.Length > 0)
                bytes = bytes[(await _socket.SendAsync(bytes))..];
        }

        /// <summary>How many lines it has said when the token ends it.</summary>
        public async Task<int> Talk(CancellationToken done)
        {
            int count = 0;
            while (!done.IsCancellationRequested)
            {
                // In two parts, so that a server may get one of them and its successor the other.
                string line = $"says {count}\n";
                int cut = 1 + (count % (line.Length - 1));
                await Send(line[..cut]);
                await Send(line[cut..]);
                await _back.WaitAsync(CancellationToken.None);
                Assert.True(_ended is null, $"{Name} was disconnected while it waited for its line {count}: {_ended}");
                count++;
            }
            return count;
        }

        /// <summary>Reads nothing until <see cref="ReadAgain"/>.</summary>
        public void Pause() => _mayRead = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);

        public void ReadAgain() => _mayRead.SetResult();

        public Task Hear(int count) => Until(() => _lines.Count >= count, $"{count} lines at {Name}");

        public Task HearOften(string end, int count) =>
            Until(() => _lines.Count(l => l.EndsWith(end, StringComparison.Ordinal)) >= count,
                $"{count} lines that end with '{end}' at {Name}");

        public async Task<string[]> HearEnd(string last)
        {
            await Until(() => _lines.Count > 0 && _lines[^1].EndsWith(last, StringComparison.Ordinal), $"the last line at {Name}");
            return [.. _lines];
        }

        public override string ToString()
        {
            lock (_gate)
            {
                string last = _lines is [.., var line] ? line[..Math.Min(line.Length, 60)] : "none";
                return $"{Name}: {_lines.Count} lines, {_ended ?? "connected"}, the last: {last}";
            }
        }

        public void Dispose()
        {
            _socket.Dispose();
            _mayRead.TrySetResult();
            lock (_gate)
            {
                _isDisposed = true;
                _back.Dispose();
            }
        }

        private async Task Until(Func<bool> holds, string what)
        {
            while (true)
            {
                Task change;
                lock (_gate)
                {
                    if (holds())
                        return;
                    Assert.True(_ended is null, $"{Name} was disconnected after {_lines.Count} lines: {_ended}");
                    change = _change.Task;
                }
                await Deadline.Await(change.ContinueWith(_ => true, TaskScheduler.Default), what, () => $"{LineCount} lines");
            }
        }

        private async Task Read()
        {
            string end = "the end of the stream";
            try
            {
                while (true)
                {
                    await _mayRead.Task;
                    if (await _reader.ReadLineAsync() is not { } line)
                        break;
                    Add(line);
                    if (line.Contains($" {Name}: says ", StringComparison.Ordinal))
                        _back.Release();
                }
            }
            catch (Exception broken) when (broken is IOException or ObjectDisposedException)
            {
                end = broken.Message;
            }
            lock (_gate)
            {
                _ended = end;
                _change.TrySetResult();
                if (!_isDisposed)
                    _back.Release();
            }
        }

        private void Add(string line)
        {
            lock (_gate)
            {
                _lines.Add(line);
                _change.TrySetResult();
                _change = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            }
        }
    }
}
