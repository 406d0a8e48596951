using System.Text;

namespace Launchd.Model;

/// <summary>
/// The placeholders that stand in a service's command and environment until an instance is started: <c>${fd:NAME}</c>, <c>${service}</c>,
/// <c>${slot}</c>, <c>${generation}</c>. <c>Config/</c> has replaced all other placeholders, and encloses these in a private-use character,
/// so that text from the environment can never be taken for a placeholder.
/// </summary>
internal static class Placeholders
{
    /// <summary>U+E000: opens and closes a placeholder in a definition. Config refuses it in the user's own text.</summary>
    public const char Mark = '\uE000';

    /// <summary>The stored form of a placeholder.</summary>
    public static string Store(string name) => $"{Mark}{name}{Mark}";

    public static bool AreIn(string text) => text.Contains(Mark);

    /// <summary>Replaces what <see cref="Store"/> made. Returns the same string if it holds none.</summary>
    /// <param name="text">A text of a definition.</param>
    /// <param name="value">From <c>fd:NAME</c>, <c>service</c>, <c>slot</c> or <c>generation</c> to its value.</param>
    public static string Resolve(string text, Func<string, string> value)
    {
        int open = text.IndexOf(Mark);
        if (open < 0)
            return text;
        StringBuilder resolved = new();
        int done = 0;
        while (open >= 0)
        {
            int close = text.IndexOf(Mark, open + 1);
            resolved.Append(text, done, open - done).Append(value(text[(open + 1)..close]));
            done = close + 1;
            open = text.IndexOf(Mark, done);
        }
        return resolved.Append(text, done, text.Length - done).ToString();
    }
}
