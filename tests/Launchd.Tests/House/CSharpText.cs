namespace Launchd.Tests.House;

/// <summary>Just enough of C#'s lexical grammar to tell code from comments and strings.</summary>
internal static class CSharpText
{
    /// <summary>Replaces comments and the inside of literals by spaces; newlines stay. Code inside interpolations is blanked too.</summary>
    public static string Blank(string text)
    {
        char[] result = text.ToCharArray();
        int i = 0;
        while (i < text.Length)
        {
            int end = EndOfTrivia(text, i);
            if (end == i)
            {
                i++;
                continue;
            }
            for (; i < end; i++)
            {
                if (result[i] != '\n')
                    result[i] = ' ';
            }
        }
        return new string(result);
    }

    /// <returns>Where the comment or literal that starts here ends; <paramref name="start"/> itself if none does.</returns>
    private static int EndOfTrivia(string text, int start)
    {
        ReadOnlySpan<char> rest = text.AsSpan(start);
        if (rest.StartsWith("//"))
            return Until(text, start, "\n", included: false);
        if (rest.StartsWith("/*"))
            return Until(text, start + 2, "*/", included: true);
        if (rest[0] == '\'')
            return EndOfQuoted(text, start + 1, '\'', isVerbatim: false);

        int open = start;
        while (open < text.Length && text[open] is '$' or '@')
            open++;
        if (open >= text.Length || text[open] != '"')
            return start;
        int quotes = 0;
        while (open + quotes < text.Length && text[open + quotes] == '"')
            quotes++;
        if (quotes >= 3)
            return Until(text, open + quotes, new string('"', quotes), included: true);
        return quotes == 2 ? open + 2 : EndOfQuoted(text, open + 1, '"', text.AsSpan(start, open - start).Contains('@'));
    }

    private static int EndOfQuoted(string text, int i, char quote, bool isVerbatim)
    {
        for (; i < text.Length; i++)
        {
            if (text[i] == quote && isVerbatim && i + 1 < text.Length && text[i + 1] == quote)
                i++;
            else if (text[i] == quote)
                return i + 1;
            else if (text[i] == '\\' && !isVerbatim)
                i++;
            else if (text[i] == '\n' && !isVerbatim)
                return i;
        }
        return text.Length;
    }

    private static int Until(string text, int from, string mark, bool included)
    {
        int found = text.IndexOf(mark, Math.Min(from, text.Length), StringComparison.Ordinal);
        return found < 0 ? text.Length : found + (included ? mark.Length : 0);
    }
}
