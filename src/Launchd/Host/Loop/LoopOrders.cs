namespace Launchd.Host.Loop;

/// <summary>
/// What parts of the host ask of the loop that calls them: another turn, work at the end of this
/// turn, the loop's end. For the loop's thread.
/// </summary>
internal sealed class LoopOrders
{
    private static readonly Action Nothing = () => { };

    private readonly List<Action> _endOfTurn = [];

    /// <summary>The core puts off starts, and is to be told when everything else was done and births have room.</summary>
    public bool AreStartsAwaited { get; set; }

    /// <summary>The core puts off ends, and is to be told when everything else was done.</summary>
    public bool AreStopsAwaited { get; set; }

    /// <summary>The exit code with which the loop ends after this turn; null: it goes on.</summary>
    public int? ExitCode { get; set; }

    /// <summary>Done at the end of each turn; null: nothing.</summary>
    public Action? EachTurn { get; set; }

    /// <summary>Has something done before the loop waits again, or ends.</summary>
    public void AtEndOfTurn(Action work) => _endOfTurn.Add(work);

    /// <summary>Called by the loop: does the work for the end of this turn.</summary>
    public void EndTurn()
    {
        for (int i = 0; i < _endOfTurn.Count; i++)
        {
            // Taken out before it is called, so that work which throws is not called again.
            Action work = _endOfTurn[i];
            _endOfTurn[i] = Nothing;
            work();
        }
        _endOfTurn.Clear();
        EachTurn?.Invoke();
    }
}
