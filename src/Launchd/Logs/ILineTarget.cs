namespace Launchd.Logs;

/// <summary>Where lines are written in the end. Used by one lane at a time.</summary>
internal interface ILineTarget : IDisposable
{
    /// <summary>Writes whole lines, however long that takes.</summary>
    /// <param name="lines">Empty only where lines are missing behind the last one.</param>
    /// <param name="lostBefore">
    /// How many lines are missing before these; they are counted already, and a line in the target says so.
    /// </param>
    /// <returns>How many of them were lost.</returns>
    public long Write(ReadOnlySpan<byte> lines, long lostBefore);

    /// <summary>Whether it waits at this moment for a reader that reads nothing. From any thread.</summary>
    public bool IsWaiting { get; }

    /// <summary>Whether a line may come in several calls; otherwise each call has whole lines.</summary>
    public bool TakesPieces { get; }

    /// <summary>The next line goes to the file that the path names then.</summary>
    public void Reopen();
}
