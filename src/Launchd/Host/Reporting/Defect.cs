using System.Diagnostics.CodeAnalysis;
using Launchd.Linux.Calls;
using Launchd.Linux.Paths;

namespace Launchd.Host.Reporting;

/// <summary>
/// Describes unforeseen exceptions to people: not by the text of a framework's exception, which in the native binary is the name of a
/// resource, but by the exception's kind and the place where it was thrown.
/// </summary>
internal static class Defect
{
    /// <summary>The variable that, if it is not empty, has whole stacks printed with defects.</summary>
    public const string StackVariable = "LAUNCHD_STACK";

    private const string Frame = "at ", Own = "Launchd.";

    /// <summary>Whether the operator wants to see stacks.</summary>
    public static bool ShowsStacks { get; } = Environment.GetEnvironmentVariable(StackVariable) is { Length: > 0 };

    /// <summary>
    /// Texts of this program's own exceptions as they are, refusals of the kernel in its words, everything else by kind and place. Throws
    /// nothing, because it is called where every exception must be contained.
    /// </summary>
    public static string Describe(Exception defect)
    {
        try
        {
            return Word(defect);
        }
        catch (Exception)
        {
            return "an error for whose description memory is missing";
        }
    }

    private static string Word(Exception defect) => defect switch
    {
        SystemCallException or StartRefusedException => defect.Message,
        OutOfMemoryException => "the system gives no more memory" + Where(defect),
        _ when FileFault.ErrnoOf(defect) is { } errno => errno.Text + Where(defect),
        _ => defect.GetType().Name + Where(defect),
    };

    /// <summary>The text of <see cref="Describe"/>, with the stack if the operator wants it.</summary>
    public static string DescribeWithStack(Exception defect) => ShowsStacks ? $"{Describe(defect)}\n{defect}" : Describe(defect);

    private static string Where(Exception defect) => TryFindPlace(defect, out string? place) ? " in " + place : "";

    /// <summary>Finds the method of this program that is nearest to where the exception was thrown.</summary>
    private static bool TryFindPlace(Exception defect, [NotNullWhen(true)] out string? place)
    {
        place = null;
        foreach (ReadOnlySpan<char> line in (defect.StackTrace ?? "").EnumerateLines())
        {
            ReadOnlySpan<char> frame = line.Trim();
            if (!frame.StartsWith(Frame, StringComparison.Ordinal) || !frame[Frame.Length..].StartsWith(Own, StringComparison.Ordinal))
                continue;
            frame = frame[Frame.Length..];
            int end = frame.IndexOf('(');
            place = (end < 0 ? frame : frame[..end]).ToString();
            return true;
        }
        return false;
    }
}
