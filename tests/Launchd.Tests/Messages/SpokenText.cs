using System.Text.RegularExpressions;

namespace Launchd.Tests.Messages;

/// <summary>What no text for people may hold, wherever it comes from.</summary>
internal static partial class SpokenText
{
    /// <summary>What of a text is for programmers only; empty: it can be read aloud to whoever runs the program.</summary>
    public static IEnumerable<string> NotForPeople(string text)
    {
        foreach (Match found in TypeName().Matches(text))
            yield return $"'{found.Value}' is the name of a type";
        foreach (Match found in ResourceKey().Matches(text))
            yield return $"'{found.Value}' is a key of resources";
        foreach (Match found in StackLine().Matches(text))
            yield return $"'{found.Value}' is a line of a stack";
    }

    [GeneratedRegex(@"\b[A-Z][a-z]+\w*Exception\b|\bSystem\.[A-Z]\w*|\bLaunchd\.[A-Z]\w*|\bTomlyn\b|`\d\[")]
    private static partial Regex TypeName();

    // In the native binary the framework has the keys of its texts alone, such as Arg_InvalidOperation or IO_FileNotFound_FileName.
    [GeneratedRegex(@"\bSR\.\w+|\b(?:Arg|Argument|ArgumentOutOfRange|IO|InvalidOperation|net|NotSupported|Format|Overflow)_[A-Z]\w*")]
    private static partial Regex ResourceKey();

    [GeneratedRegex(@"^ {3}at .*$", RegexOptions.Multiline)]
    private static partial Regex StackLine();
}
