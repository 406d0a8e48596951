namespace Launchd.Host.Loop;

/// <summary>What those whom the loop calls ask of it: another turn, work before it waits again, its end. For the loop's thread.</summary>
internal sealed class LoopOrders
{
    private static readonly Action Nothing = () => { };

    private readonly List<Action> _endOfTurn = [];

    /// <summary>The core is to be told, after everything else, that another turn has begun.</summary>
    public bool IsTurnAwaited { get; set; }

    /// <summary>The loop ends with this turn; null: it goes on.</summary>
    public int? ExitCode { get; set; }

    /// <summary>Has something done before the loop waits again, or ends.</summary>
    public void AtEndOfTurn(Action work) => _endOfTurn.Add(work);

    /// <summary>By the loop: does what is to be done at the end of this turn.</summary>
    public void EndTurn()
    {
        for (int i = 0; i < _endOfTurn.Count; i++)
        {
            // Taken out before it is called: what throws is not called again.
            Action work = _endOfTurn[i];
            _endOfTurn[i] = Nothing;
            work();
        }
        _endOfTurn.Clear();
    }
}
