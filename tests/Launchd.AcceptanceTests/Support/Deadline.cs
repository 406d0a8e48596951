namespace Launchd.AcceptanceTests.Support;

/// <summary>How long a test waits for what it awaits: long enough for a busy machine, short enough to name the test that hangs.</summary>
internal static class Deadline
{
    /// <summary>Nothing that is awaited here takes more than a second or two by itself.</summary>
    public static readonly TimeSpan Generous = TimeSpan.FromSeconds(45);

    /// <summary>Awaits, and fails with what was seen instead.</summary>
    /// <param name="awaited">The event.</param>
    /// <param name="what">What it is, for the message.</param>
    /// <param name="seen">What is known at the deadline.</param>
    public static async Task<T> Await<T>(Task<T> awaited, string what, Func<string> seen)
    {
        try
        {
            return await awaited.WaitAsync(Generous);
        }
        catch (TimeoutException)
        {
            throw new TimeoutException($"no {what} within {Generous.TotalSeconds:0} s; seen so far:\n{seen()}");
        }
    }
}
