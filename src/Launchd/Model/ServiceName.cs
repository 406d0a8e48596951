namespace Launchd.Model;

/// <summary>The name of a service as the configuration spells it: 1 to 64 letters, digits, <c>- _ . @</c>.</summary>
internal readonly record struct ServiceName(string Text) : IComparable<ServiceName>
{
    /// <summary>The longest name. It stands in file names and in every line of a service's output.</summary>
    public const int LongestLength = 64;

    /// <summary>Whether a text may name a service, a socket or a file of the configuration.</summary>
    public static bool IsValid(string text) =>
        text.Length is > 0 and <= LongestLength
        && text[0] is not ('-' or '.')
        && text.All(c => char.IsAsciiLetterOrDigit(c) || c is '-' or '_' or '.' or '@');

    public int CompareTo(ServiceName other) => string.CompareOrdinal(Text, other.Text);

    public override string ToString() => Text;
}
