namespace Launchd.AcceptanceTests.Support;

/// <summary>A growing list in which one can wait for the n-th entry of a kind, whether it is there already or still to come.</summary>
internal sealed class Happenings<T>
{
    private readonly Lock _gate = new();
    private readonly List<T> _all = [];
    private readonly List<Waiter> _waiters = [];
    private Action<T>? _listener;
    private string? _ended;

    public void Add(T item)
    {
        lock (_gate)
        {
            _all.Add(item);
            foreach (Waiter waiter in _waiters)
                waiter.Look(item);
            _listener?.Invoke(item);
        }
    }

    /// <summary>Passes on what there is and what comes, in order. One listener at most.</summary>
    public void Each(Action<T> listener)
    {
        lock (_gate)
        {
            _all.ForEach(listener);
            _listener = listener;
        }
    }

    /// <summary>Nothing more will come: whoever still waits fails with the reason.</summary>
    public void End(string reason)
    {
        lock (_gate)
        {
            _ended = reason;
            foreach (Waiter waiter in _waiters)
                waiter.Fail(reason, Text());
        }
    }

    /// <summary>What there is now.</summary>
    public IReadOnlyList<T> All()
    {
        lock (_gate)
            return [.. _all];
    }

    /// <param name="matches">Which entries count.</param>
    /// <param name="nth">From 1: the n-th of those.</param>
    /// <param name="what">What is awaited, for the message of a failure.</param>
    public Task<T> First(Func<T, bool> matches, string what, int nth = 1)
    {
        Waiter waiter = new(matches, what, nth);
        lock (_gate)
        {
            foreach (T item in _all)
                waiter.Look(item);
            if (_ended is { } reason)
                waiter.Fail(reason, Text());
            _waiters.Add(waiter);
        }
        return Deadline.Await(waiter.Found, what, () => ToString());
    }

    public override string ToString()
    {
        lock (_gate)
            return Text();
    }

    private string Text() => string.Join('\n', _all);

    private sealed class Waiter(Func<T, bool> matches, string what, int nth)
    {
        private readonly TaskCompletionSource<T> _found = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _left = nth;

        public Task<T> Found => _found.Task;

        public void Look(T item)
        {
            if (_left > 0 && matches(item) && --_left == 0)
                _found.SetResult(item);
        }

        public void Fail(string reason, string seen) =>
            _ = _found.TrySetException(new InvalidOperationException($"{reason} before {what}; seen:\n{seen}"));
    }
}
