namespace Launchd.Logs;

/// <summary>Where lines are written in the end. Used by one lane at a time.</summary>
internal interface ILineTarget : IDisposable
{
    /// <summary>Writes whole lines, however long that takes.</summary>
    /// <param name="lines">Not empty.</param>
    /// <param name="lostBefore">So many lines are missing before them, counted already: a line there says so.</param>
    /// <returns>How many of them were lost.</returns>
    public long Write(ReadOnlySpan<byte> lines, long lostBefore);

    /// <summary>At the moment it waits for a reader that takes nothing. From any thread.</summary>
    public bool IsWaiting { get; }

    /// <summary>The next line goes to what the path names then.</summary>
    public void Reopen();
}
