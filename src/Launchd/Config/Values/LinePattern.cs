using System.Text.RegularExpressions;

namespace Launchd.Config.Values;

/// <summary>
/// Regular expressions for lines of a service's output. The engine needs time linear in the length of the line: for each character at most
/// one step for each state of the pattern. So the number of states is bounded, and with it the work that a program's output can cause.
/// </summary>
internal static class LinePattern
{
    /// <summary>Most characters of a pattern, as written.</summary>
    public const int LongestLength = 1000;

    /// <summary>Repetitions count as often as they repeat: a{500} has 500.</summary>
    private const int MostStates = 2000;

    static LinePattern() => AppContext.SetData("REGEX_NONBACKTRACKING_MAX_AUTOMATA_SIZE", MostStates);

    /// <summary>What is wrong with a pattern, as the end of a sentence.</summary>
    public static string Explain(RegexParseError error) => error switch
    {
        RegexParseError.InsufficientClosingParentheses => "a ')' is missing",
        RegexParseError.InsufficientOpeningParentheses => "there is a ')' without its '('",
        RegexParseError.UnterminatedBracket => "a ']' is missing",
        RegexParseError.UnescapedEndingBackslash => "it ends in a single backslash",
        RegexParseError.QuantifierAfterNothing => "nothing stands before a quantifier (*, +, ?, {n})",
        RegexParseError.NestedQuantifiersNotParenthesized => "one quantifier (*, +, ?, {n}) follows another",
        RegexParseError.ReversedQuantifierRange => "the range of a quantifier is reversed, as in {3,1}",
        RegexParseError.QuantifierOrCaptureGroupOutOfRange => "a number is too large",
        RegexParseError.ReversedCharacterRange => "a range of characters is reversed, as in [z-a]",
        RegexParseError.ShorthandClassInCharacterRange => "a class such as \\d cannot be the end of a range",
        RegexParseError.ExclusionGroupNotLast => "a class that is taken out must stand last in its brackets",
        RegexParseError.UnrecognizedEscape => "there is no such escape with a backslash",
        RegexParseError.InsufficientOrInvalidHexDigits => "hexadecimal digits are missing",
        RegexParseError.MissingControlCharacter or RegexParseError.UnrecognizedControlCharacter => "\\c needs a letter behind it",
        RegexParseError.InvalidUnicodePropertyEscape or RegexParseError.MalformedUnicodePropertyEscape
            or RegexParseError.UnrecognizedUnicodeProperty => "there is no such Unicode property",
        RegexParseError.UnterminatedComment => "a comment is not closed",
        RegexParseError.InvalidGroupingConstruct => "what stands behind '(?' is no group",
        RegexParseError.CaptureGroupNameInvalid or RegexParseError.CaptureGroupOfZero => "a group has no valid name",
        RegexParseError.UndefinedNamedReference or RegexParseError.UndefinedNumberedReference or RegexParseError.MalformedNamedReference =>
            "it refers to a group that is not there",
        _ => "a condition in it is malformed",
    };

    /// <exception cref="ArgumentException">It is no regular expression.</exception>
    /// <exception cref="NotSupportedException">It cannot be matched in linear time, or has too many states.</exception>
    public static Regex Compile(string pattern) => new(pattern, RegexOptions.NonBacktracking | RegexOptions.CultureInvariant);
}
